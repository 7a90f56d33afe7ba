package attack

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// socketAttacks are the families and options that kernels are broken into by,
// and whatever may listen on a host.
func socketAttacks() []Attack {
	var list []Attack
	for _, f := range []struct {
		name         string
		family, kind int
		proto        int
	}{
		{"alg", unix.AF_ALG, unix.SOCK_SEQPACKET, 0},
		{"vsock", unix.AF_VSOCK, unix.SOCK_STREAM, 0},
		{"packet", unix.AF_PACKET, unix.SOCK_DGRAM, 0},
		{"rds", unix.AF_RDS, unix.SOCK_SEQPACKET, 0},
		{"tipc", unix.AF_TIPC, unix.SOCK_SEQPACKET, 0},
		{"can", unix.AF_CAN, unix.SOCK_RAW, 1},
		{"xdp", unix.AF_XDP, unix.SOCK_RAW, 0},
		{"bluetooth", unix.AF_BLUETOOTH, unix.SOCK_RAW, 1},
		{"nfc", unix.AF_NFC, unix.SOCK_SEQPACKET, 0},
		{"kcm", unix.AF_KCM, unix.SOCK_DGRAM, 0},
		{"qipcrtr", unix.AF_QIPCRTR, unix.SOCK_DGRAM, 0},
		{"smc", unix.AF_SMC, unix.SOCK_STREAM, 0},
		{"sctp", unix.AF_INET, unix.SOCK_SEQPACKET, unix.IPPROTO_SCTP},
		{"netlink-netfilter", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER},
		{"netlink-xfrm", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_XFRM},
		{"netlink-crypto", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_CRYPTO},
		{"netlink-audit", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT},
		{"netlink-uevent", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT},
		{"netlink-generic", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC},
		{"raw", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP},
	} {
		a := Attack{Row: "A30", Name: "socket-" + f.name, Try: socket(f.family, f.kind, f.proto), Control: Namespace}
		a.Absent = []unix.Errno{unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT, unix.ESOCKTNOSUPPORT, unix.EPERM}
		if f.name == "alg" {
			a.Row = "A31"
		}
		list = append(list, a)
	}
	ulp := func(name string) func() error {
		return func() error {
			s, err := connected()
			if err != nil {
				return err
			}
			return unix.SetsockoptString(s, unix.SOL_TCP, unix.TCP_ULP, name)
		}
	}
	return append(list,
		Attack{Row: "A29", Name: "ulp-tls", Try: ulp("tls"), Control: Outside, Absent: []unix.Errno{unix.ENOENT, unix.ENOPROTOOPT}},
		Attack{Row: "A29", Name: "ulp-espintcp", Try: ulp("espintcp"), Control: Outside, Absent: []unix.Errno{unix.ENOENT, unix.ENOPROTOOPT, unix.EPERM}},
		Attack{Row: "A29", Name: "ulp-unknown", Try: ulp("jailrun"), Control: Outside, Reached: []unix.Errno{unix.ENOENT}, Absent: []unix.Errno{unix.ENOPROTOOPT}},
		Attack{Row: "A32", Name: "oob-send", Try: oob(true), Control: Outside, Absent: []unix.Errno{unix.EOPNOTSUPP}},
		Attack{Row: "A32", Name: "oob-receive", Try: oob(false), Control: Outside, Reached: []unix.Errno{unix.EINVAL}, Absent: []unix.Errno{unix.EOPNOTSUPP}},
		Attack{Row: "A91", Name: "connect-out", Try: connectOut, Why: "a test may not reach for other machines; the network namespace is seen by its one interface"},
		Attack{Row: "A91", Name: "interfaces", Try: interfaces, Control: None, Why: "a machine may have none but lo", Twice: true},
		Attack{Row: "A91", Name: "ping", Try: socket(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP), Control: Outside, Absent: []unix.Errno{unix.EACCES}},
		Attack{Row: "A52", Name: "host-sockets", Try: hostSockets, Why: "tests/attacks listens outside and is not reached"},
	)
}

func socket(family, kind, proto int) func() error {
	return func() error {
		fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, proto)
		if err == nil {
			err = unix.Close(fd)
		}
		return err
	}
}

// connected makes a TCP connection to itself over the loopback.
func connected() (int, error) {
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return -1, err
	}
	if err := unix.Listen(listener, 1); err != nil {
		return -1, err
	}
	at, err := unix.Getsockname(listener)
	if err != nil {
		return -1, err
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	return s, unix.Connect(s, at)
}

// oob passes one byte out of band between two UNIX sockets.
func oob(send bool) func() error {
	return func() error {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if send {
			return unix.Sendto(p[0], []byte("x"), unix.MSG_OOB, nil)
		}
		_, _, err = unix.Recvfrom(p[0], make([]byte, 1), unix.MSG_OOB|unix.MSG_DONTWAIT)
		return err
	}
}

// connectOut asks for a documentation address (RFC 5737): without a route the
// kernel refuses at once.
func connectOut() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	err = unix.Connect(s, &unix.SockaddrInet4{Port: 80, Addr: [4]byte{192, 0, 2, 1}})
	if errors.Is(err, unix.EINPROGRESS) {
		return nil
	}
	return err
}

// interfaces looks for a network interface besides lo, by name and by number.
func interfaces() error {
	list, err := net.Interfaces()
	for _, i := range list {
		if i.Name != "lo" {
			return nil
		}
	}
	if err == nil {
		err = ErrNothing
	}
	return err
}

// hostSockets tries the sockets of services that a host may run.
func hostSockets() error {
	err := error(unix.ENOENT)
	for _, path := range []string{
		"/run/dbus/system_bus_socket", "/run/user/0/bus", "/run/user/1000/bus", "/var/run/docker.sock", "/run/docker.sock",
		"/run/podman/podman.sock", "/run/containerd/containerd.sock", "/run/systemd/private", "/run/systemd/journal/socket", "/dev/log",
		"/run/nscd/socket", "/var/run/nscd/socket", "/tmp/.X11-unix/X0", "@/tmp/.X11-unix/X0", "@/tmp/dbus", "@/org/kernel/linux/storage/multipathd",
	} {
		for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
			if err = Connect(path, kind); err == nil {
				return nil
			}
		}
	}
	return err
}

// Connect tries a UNIX socket, an abstract one if path begins with @.
func Connect(path string, kind int) error {
	s, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	return unix.Connect(s, &unix.SockaddrUnix{Name: path})
}

// families names the sockets that a job may make, for the posture.
func families() (list []string) {
	for family := range 46 {
		for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW, unix.SOCK_SEQPACKET} {
			if socket(family, kind, 0)() == nil {
				list = append(list, fmt.Sprintf("%d/%d", family, kind))
			}
		}
	}
	return list
}
