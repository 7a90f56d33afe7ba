// The probe is the job of the network's tests: it tries what it is told, a word
// each, and prints what became of it.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience is what no test should meet: a refusal is to come at once.
const patience = 20 * time.Second

func main() {
	for _, word := range os.Args[1:] {
		verb, arg, _ := strings.Cut(word, "=")
		fmt.Printf("%s %s\n", word, try(verb, arg))
	}
}

func try(verb, arg string) string {
	var err error
	switch verb {
	case "tcp", "udp":
		err = talk(verb, arg)
	case "from":
		err = talkFrom(arg)
	case "get":
		err = get(arg)
	case "many":
		err = many(arg)
	case "serve-tcp":
		err = serveTCP(arg)
	case "serve-udp":
		err = serveUDP(arg)
	case "beside":
		go func() { beside <- talk("tcp", arg) }()
	case "pending":
		select {
		case err = <-beside:
		default:
			return "pending"
		}
	case "slowest":
		return slowest(strings.Split(arg, ","))
	case "cat":
		b, err := os.ReadFile(arg)
		if err != nil {
			return err.Error()
		}
		return strings.ReplaceAll(string(b), "\n", "|")
	case "devices":
		list, err := net.Interfaces()
		if err != nil {
			return err.Error()
		}
		var names []string
		for _, d := range list {
			names = append(names, d.Name)
		}
		return strings.Join(names, ",")
	case "wait":
		_, err = io.Copy(io.Discard, os.Stdin)
	default:
		err = errors.New("what?")
	}
	return outcome(err)
}

// beside brings what became of a connection that is tried beside the rest.
var beside = make(chan error, 1)

// slowest tries all and says in nanoseconds how long the slowest answer took.
func slowest(addrs []string) string {
	var most time.Duration
	for _, addr := range addrs {
		for _, network := range []string{"tcp", "udp"} {
			begin := time.Now()
			_ = talk(network, addr)
			most = max(most, time.Since(begin))
		}
	}
	return strconv.FormatInt(int64(most), 10)
}

// outcome is ok, the name of an errno, timeout, or what else was said.
func outcome(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout: " + err.Error()
	case errors.As(err, &errno):
		return errno.Error()
	}
	return err.Error()
}

// talkFrom sends a packet from a port of its own: "PORT@HOST:PORT".
func talkFrom(arg string) error {
	port, addr, _ := strings.Cut(arg, "@")
	local, err := net.ResolveUDPAddr("udp4", ":"+port)
	if err != nil {
		return err
	}
	d := net.Dialer{LocalAddr: local}
	c, err := d.Dial("udp4", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte("hello\n"))
	return err
}

// talk sends a line and reads the answer.
func talk(network, addr string) error {
	c, err := net.DialTimeout(network, addr, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte("hello\n")); err != nil {
		return err
	}
	var b [64]byte
	n, err := c.Read(b[:])
	if err == nil && string(b[:n]) != "hello\n" {
		err = fmt.Errorf("answer %q", b[:n])
	}
	return err
}

// get asks addr for N bytes: "N@HOST:PORT".
func get(arg string) error {
	n, addr, _ := strings.Cut(arg, "@")
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "give %s\n", n); err != nil {
		return err
	}
	got, err := io.Copy(io.Discard, c)
	if err == nil && strconv.FormatInt(got, 10) != n {
		err = fmt.Errorf("got %d bytes", got)
	}
	return err
}

// many makes N short connections: "N@HOST:PORT".
func many(arg string) error {
	n, addr, _ := strings.Cut(arg, "@")
	count, err := strconv.Atoi(n)
	for i := range count {
		if err := talk("tcp", addr); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
	}
	return err
}

// serveTCP answers one connection.
func serveTCP(addr string) error {
	l, err := net.Listen("tcp4", addr)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	c, err := l.Accept()
	if err != nil {
		return err
	}
	_, err = io.CopyN(c, c, int64(len("hello\n")))
	return errors.Join(err, c.Close(), l.Close())
}

// serveUDP answers one packet.
func serveUDP(addr string) error {
	c, err := net.ListenPacket("udp4", addr)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	var b [64]byte
	n, from, err := c.ReadFrom(b[:])
	if err != nil {
		return err
	}
	_, err = c.WriteTo(b[:n], from)
	return errors.Join(err, c.Close())
}
