package jobspec

import (
	"errors"
	"fmt"
	"strconv"
)

// Net is the job's network.
type Net string

func (n *Net) parse(text string) (err error) {
	if text == "host" {
		return errors.New("the host's network needs --unsafe net-host, which stands on a command line or nowhere")
	}
	*(*string)(n), err = choose(text, n.words()...)
	return err
}

func (*Net) words() []string { return []string{"none", "slirp", "slirp:rootlesskit", "pasta"} }

// Network is the network that is asked for, as flags of jailrun, NAME=VALUE; nil
// for none.
func (f *Flags) Network() []string {
	if f.Net == "" || f.Net == "none" {
		return nil
	}
	asked := []string{"net=" + string(f.Net)}
	for _, a := range f.NetAllow {
		asked = append(asked, "net-allow="+a)
	}
	for _, p := range f.Publish {
		asked = append(asked, "publish="+p)
	}
	if f.NetRate != nil {
		asked = append(asked, "net-rate="+strconv.FormatUint(uint64(*f.NetRate), 10))
	}
	return asked
}

// network checks what is asked. The file may be a stranger's: what it reaches
// from here, be it the world or, by net-allow, a machine of ours, is for the
// command line to allow.
func (f *Flags) network(o Options) error {
	if f.Network() != nil {
		switch {
		case !o.Networks:
			return fmt.Errorf("net: %s is not given to a job file's jobs unasked; jailrun batch --allow-net lets them have the networks that the file names", f.Net)
		case f.NetRate != nil && *f.NetRate < 1024:
			return fmt.Errorf("net-rate: %d bytes a second let nothing through; did you mean %dk?", *f.NetRate, *f.NetRate)
		}
		return nil
	}
	for _, x := range [...]struct {
		field string
		given bool
	}{{"net-allow", len(f.NetAllow) > 0}, {"publish", len(f.Publish) > 0}, {"net-rate", f.NetRate != nil}} {
		if x.given {
			return fmt.Errorf("%s: is for a network that the job does not have; add net: slirp", x.field)
		}
	}
	return nil
}
