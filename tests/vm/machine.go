package vm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/jailrun/jailrun/tests/vm/wire"
)

// Machine is a booted machine. It runs one job at a time; Close must be called and may be called at any time, also
// during Run.
type Machine struct {
	cfg     Config
	dir     string // temporary directory of this machine
	inUse   *os.File
	cpu     *os.File // claim of a CPU; nil: none
	proc    *process
	send    *wire.Writer
	receive *bufio.Reader
	ready   wire.ReadyInfo
}

// Boot boots a machine and waits until it can run jobs. What a lane needs and the host lacks is fetched first into
// the cache ($XDG_CACHE_HOME/jailrun-tests), or installed if the caller is root.
func Boot(ctx context.Context, cfg Config) (_ *Machine, err error) {
	cfg, err = cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &Machine{cfg: cfg}
	parts, err := gather(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if m.dir, m.inUse, err = makeDir(); err != nil {
		return nil, err
	}
	if err := errors.Join(m.makeFiles(ctx, parts), ctx.Err()); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	// The time starts here: how long the host needs for the files says nothing about the machine.
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.BootTimeout, fmt.Errorf("no answer within %v", cfg.BootTimeout))
	defer cancel()
	if err := m.start(parts); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	t, payload, err := m.read(ctx)
	if err == nil && t != wire.Ready {
		err = fmt.Errorf("%w: %q before ready", wire.ErrFrame, t)
	}
	if err == nil {
		err = wire.Decode(payload, &m.ready)
	}
	if err != nil {
		return nil, errors.Join(m.failure("boot", err), m.Close())
	}
	return m, nil
}

// makeFiles makes the files of the machine.
func (m *Machine) makeFiles(ctx context.Context, parts *parts) error {
	for _, sub := range []string{"mem", "uml"} {
		if err := os.Mkdir(filepath.Join(m.dir, sub), 0o700); err != nil {
			return err
		}
	}
	if err := makeScratch(ctx, filepath.Join(m.dir, "scratch.img"), m.cfg.ScratchMiB); err != nil {
		return err
	}
	return writeInitramfs(filepath.Join(m.dir, "initrd"), parts, m.setup(parts))
}

// start starts the machine's process.
func (m *Machine) start(parts *parts) error {
	cpu := -1
	if parts.oneCPU {
		var err error
		if cpu, m.cpu, err = parts.cache.claimCPU(); err != nil {
			return err
		}
	}
	proc, err := startProcess(m.dir, parts.vminit, cpu, parts.argv(m.cfg, m.dir))
	if err != nil {
		return err
	}
	m.proc, m.send, m.receive = proc, wire.NewWriter(proc.channel), bufio.NewReader(proc.channel)
	return nil
}

func (m *Machine) setup(p *parts) wire.Setup {
	return wire.Setup{
		Lane: m.cfg.Lane, Shape: m.cfg.Shape, User: m.cfg.User, ReadOnly: m.cfg.ReadOnly,
		Channel: p.channel, Scratch: p.scratch, RootFS: p.rootFS, System: p.system,
	}
}

// Kernel is the guest's kernel release, as uname -r prints it.
func (m *Machine) Kernel() string { return m.ready.Kernel }

// Run runs one job; see the function Run for code and err. After an error the machine is of no more use.
func (m *Machine) Run(ctx context.Context, job Job) (code int, err error) {
	timeout := job.Timeout
	if timeout == 0 {
		timeout = 2 * time.Minute
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("job %q did not end within %v", job.Argv, timeout))
	defer cancel()
	env := append([]string{"JAILRUN_LANE=" + m.cfg.LaneName(), "JAILRUN_SHAPE=" + m.cfg.Shape}, job.Env...)
	if err := m.send.SendValue(wire.Run, wire.RunRequest{Argv: job.Argv, Env: env, Dir: job.Dir}); err != nil {
		return 0, m.failure("run", err)
	}
	for {
		t, payload, err := m.read(ctx)
		if err != nil {
			return 0, m.failure("run", err)
		}
		switch t {
		case wire.Stdout:
			err = write(job.Stdout, payload)
		case wire.Stderr:
			err = write(job.Stderr, payload)
		case wire.Fatal:
			err = m.failure("run", errors.New(string(payload)))
		case wire.Exit:
			return exitCode(payload, job.Stderr)
		default:
			err = m.failure("run", fmt.Errorf("%w: %q during a job", wire.ErrFrame, t))
		}
		if err != nil {
			return 0, err
		}
	}
}

func write(w io.Writer, p []byte) error {
	if w == nil {
		return nil
	}
	_, err := w.Write(p)
	return err
}

func exitCode(payload []byte, stderr io.Writer) (int, error) {
	var info wire.ExitInfo
	if err := wire.Decode(payload, &info); err != nil {
		return 0, err
	}
	if info.Err != "" {
		return info.Code, write(stderr, []byte("vm: "+info.Err+"\n"))
	}
	return info.Code, nil
}

// read reads one frame. The end of ctx kills the machine, which ends the channel.
func (m *Machine) read(ctx context.Context) (wire.Type, []byte, error) {
	stop := context.AfterFunc(ctx, m.proc.cut)
	defer stop()
	t, payload, err := wire.Read(m.receive)
	switch {
	case err == nil:
		return t, payload, nil
	case ctx.Err() != nil:
		return 0, nil, context.Cause(ctx)
	case errors.Is(err, io.EOF):
		return 0, nil, errors.New("the machine ended (a panic, or its first process gave up)")
	}
	return 0, nil, err
}

// Close ends the machine, waits for the end of all its processes and removes its files.
func (m *Machine) Close() error {
	var err error
	if m.proc != nil {
		err = m.proc.end()
	}
	if m.cpu != nil {
		err = errors.Join(err, m.cpu.Close())
	}
	return errors.Join(err, os.RemoveAll(m.dir), m.inUse.Close())
}

// failure makes an *Error: the machine is ended, its console kept.
func (m *Machine) failure(op string, cause error) error {
	e := &Error{Lane: m.cfg.Lane, Op: op, Err: cause}
	if err := m.proc.end(); err != nil {
		e.Err = errors.Join(cause, err)
	}
	var err error
	if e.Console, e.Log, err = keepConsole(filepath.Join(m.dir, "console.log"), m.cfg.Lane); err != nil {
		e.Err = errors.Join(e.Err, err)
	}
	return e
}
