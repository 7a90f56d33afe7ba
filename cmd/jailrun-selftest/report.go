package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

func (r *report) json(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// text prints a line for each row, or for each attack with all, then what
// failed, then the count.
func (r *report) text(w io.Writer, all bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if all {
		fmt.Fprintln(t, "ROW\tPROFILE\tATTACK\tOUTCOME\tWANTED\t")
		for _, x := range r.Trials {
			x.print(t)
		}
	} else {
		r.rows(t)
	}
	if r.Failed > 0 {
		fmt.Fprintln(t, "\nROW\tPROFILE\tFAILED\tOUTCOME\tWANTED\t")
		for _, x := range r.Trials {
			if !x.Held {
				x.print(t)
			}
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	var walls []string
	var missing strings.Builder
	for _, c := range r.Confinement {
		if c.Missing {
			fmt.Fprintf(&missing, "missing: %s: %s\n", c.Name, c.Evidence)
			continue
		}
		walls = append(walls, c.Name)
	}
	_, err := fmt.Fprintf(w, "\n%d attacks: %d ended as required, %d did not (linux %s, tier %s, map %s)\nwalls: %s\n%s%s\n",
		len(r.Trials), r.Held, r.Failed, r.Kernel, r.Tier, r.Map, strings.Join(walls, ", "), missing.String(), elsewhere)
	return err
}

// elsewhere says why rows of the security bar are not in the table.
const elsewhere = "rows that are not listed need more than a job: a listener or a file outside, a second job, root; tests/attacks in the source has them"

func (x *trial) print(w io.Writer) {
	mark := ""
	if !x.Held {
		mark = "NOT HELD"
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", x.Row, x.Profile, x.Attack, x.Outcome, x.Wanted, mark)
}

// rows prints how many attacks of each row ended as required.
func (r *report) rows(w io.Writer) {
	held, tried := map[string]int{}, map[string]int{}
	var rows []string
	for _, x := range r.Trials {
		if tried[x.Row] == 0 {
			rows = append(rows, x.Row)
		}
		tried[x.Row]++
		if x.Held {
			held[x.Row]++
		}
	}
	slices.SortFunc(rows, func(a, b string) int { return rowNumber(a) - rowNumber(b) })
	fmt.Fprintln(w, "ROW\tABOUT\tHELD\t")
	for _, row := range rows {
		fmt.Fprintf(w, "%s\t%s\t%d of %d\t\n", row, about(row), held[row], tried[row])
	}
}

func rowNumber(row string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(row, "A"))
	if err != nil {
		return 0
	}
	return n
}

// about says in a few words what the attacks of a row are after.
func about(row string) string {
	for _, x := range [...]struct{ row, text string }{
		{"A06", "init, by way of /proc"},
		{"A07", "tracing init"},
		{"A08", "signals to init and to everyone"},
		{"A11", "writes to /proc"},
		{"A13", "changing mounts"},
		{"A14", "what tells of the host's hardware and users"},
		{"A16", "leaving the root"},
		{"A17", "set-user-ID files"},
		{"A18", "devices"},
		{"A19", "writes to the system's directories"},
		{"A20", "marks of overlays"},
		{"A21", "mounts that propagate"},
		{"A25", "new namespaces"},
		{"A26", "other namespaces, file handles"},
		{"A27", "io_uring"},
		{"A28", "bpf, modules, tracing the kernel, administration"},
		{"A29", "protocols on top of TCP (kernel TLS)"},
		{"A30", "rare socket families"},
		{"A31", "the kernel's crypto sockets"},
		{"A32", "out-of-band data"},
		{"A33", "keys"},
		{"A34", "typing into terminals"},
		{"A35", "other processes of the job"},
		{"A36", "other ABIs of the processor"},
		{"A37", "widening the filter"},
		{"A38", "personalities"},
		{"A39", "prctl"},
		{"A42", "the processor's counters"},
		{"A43", "memory that may not be mapped"},
		{"A48", "leases and notices"},
		{"A49", "signals to the outside"},
		{"A50", "the host's files and names"},
		{"A52", "services of the host"},
		{"A53", "users and groups"},
		{"A54", "fork bomb"},
		{"A56", "memory"},
		{"A58", "memory of a child"},
		{"A61", "disk"},
		{"A64", "descriptors"},
		{"A65", "output"},
		{"A68", "priorities"},
		{"A73", "control groups"},
		{"A77", "CPU time of orphans"},
		{"A80", "a forged result"},
		{"A85", "the clock"},
		{"A91", "the network"},
		{"A94", "terminals"},
	} {
		if x.row == row {
			return x.text
		}
	}
	return ""
}
