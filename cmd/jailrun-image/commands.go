package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/jailrun/jailrun/fs/image"
	"github.com/jailrun/jailrun/sandbox/plain"
)

func importImage(ctx context.Context, c *call) error {
	if len(c.args) != 1 {
		return &usageError{"import takes one source", "jailrun image import oci:DIR[:TAG] | docker-archive:FILE | FILE.tar"}
	}
	src, err := image.ParseSource(c.args[0])
	if err != nil {
		return &usageError{err.Error(), "an image of a registry: jailrun image pull " + c.args[0]}
	}
	return bring(ctx, c, src)
}

func pullImage(ctx context.Context, c *call) error {
	if len(c.args) != 1 {
		return &usageError{"pull takes one reference", "jailrun image pull debian:12"}
	}
	return bring(ctx, c, image.Source{Kind: image.Registry, Path: c.args[0]})
}

// bring imports a source and says what has become of it.
func bring(ctx context.Context, c *call, src image.Source) error {
	s, err := openStore(c)
	if err != nil {
		return err
	}
	o := image.Options{Name: c.name}
	var bar *progress
	if !c.quiet {
		bar = c.console.progress()
		o.Progress = bar.show
	}
	got, err := s.Import(ctx, src, o)
	bar.clear()
	switch {
	case err != nil:
		return err
	case c.id:
		_, err = fmt.Fprintln(c.out, got.ID)
		return err
	case c.quiet:
		return nil
	}
	for _, l := range got.LeftOut {
		c.console.note("left out: " + l)
	}
	if more := got.Skipped - len(got.LeftOut); more > 0 {
		c.console.note("left out: " + strconv.Itoa(more) + " more devices")
	}
	if got.Flat {
		c.console.note("the layers are in one directory: the file system of the store cannot keep them apart")
	}
	_, err = fmt.Fprintf(c.out, "%s\t%s\t%d layers, %d new\t%s\n", named(got.Name), short(got.ID), got.Layers, got.Fresh, size(got.Bytes))
	return err
}

func listImages(_ context.Context, c *call) error {
	if len(c.args) > 0 {
		return &usageError{"list takes no names", ""}
	}
	s, err := openStore(c)
	if err != nil {
		return err
	}
	list, err := s.List()
	if c.json {
		if list == nil {
			list = []image.Entry{}
		}
		e := json.NewEncoder(c.out)
		e.SetEscapeHTML(false)
		if werr := e.Encode(list); werr != nil {
			return werr
		}
		return err
	}
	w := tabwriter.NewWriter(c.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tID\tLAYERS\tSIZE\tSTATE")
	for _, e := range list {
		state := ""
		switch {
		case e.InUse:
			state = "in use"
		case len(e.Names) == 0 && len(e.Sources) > 0:
			state = "of " + plain.Printable(e.Sources[0])
		case len(e.Names) == 0:
			state = "unused"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", named(strings.Join(e.Names, ",")), short(e.ID), e.Layers, size(e.Bytes), state)
	}
	if werr := w.Flush(); werr != nil {
		return werr
	}
	return err
}

func removeImages(_ context.Context, c *call) error {
	if len(c.args) == 0 {
		return &usageError{"rm takes the names or ids of images", "jailrun image list shows them"}
	}
	s, err := openStore(c)
	if err != nil {
		return err
	}
	for _, a := range c.args {
		if err := s.Remove(a); err != nil {
			return err
		}
	}
	return collectFrom(s, c)
}

func collect(_ context.Context, c *call) error {
	if len(c.args) > 0 {
		return &usageError{"gc takes no names", "jailrun image rm NAME"}
	}
	s, err := openStore(c)
	if err != nil {
		return err
	}
	return collectFrom(s, c)
}

func collectFrom(s *image.Store, c *call) error {
	got, err := s.Collect(func() { c.console.note("waiting for an import to end") })
	if err != nil {
		return err
	}
	for _, id := range got.InUse {
		c.console.note(short(id) + " is in use and goes with the next gc after its jobs have ended")
	}
	if c.quiet {
		return nil
	}
	_, err = fmt.Fprintf(c.out, "removed %d images, %d layers, %s\n", got.Images, got.Layers, size(got.Bytes))
	return err
}

func named(name string) string {
	if name == "" {
		return "-"
	}
	return name
}

// short is as much of a digest as people read.
func short(digest string) string {
	return strings.TrimPrefix(digest, "sha256:")[:12]
}

// size prints bytes for people.
func size(n int64) string {
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 {
		return strconv.FormatInt(n, 10) + " B"
	}
	return strconv.FormatFloat(f, 'f', 1, 64) + " " + units[i]
}
