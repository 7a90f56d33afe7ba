package sandbox_test

import (
	"context"
	"fmt"
	"time"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
)

func ExampleCommand() {
	c := sandbox.Command("sh", "-c", "id -u; hostname; exit 3")
	c.CWD = sandbox.CWDNone
	c.Limits.Memory = 100 * limits.MiB
	c.Limits.Wall = 10 * time.Second
	out, result, err := c.Output(context.Background())
	if err != nil {
		fmt.Println(err) // jailrun failed; whatever the job did is no error
		return
	}
	fmt.Printf("%s%s %d\n", out, result.Verdict, *result.ExitCode)
	// Output:
	// 0
	// jail
	// exited 3
}

func ExampleCmd_Run_limit() {
	c := sandbox.Command("sleep", "60")
	c.CWD = sandbox.CWDNone
	c.Limits.Wall = 100 * time.Millisecond
	result, err := c.Run(context.Background())
	fmt.Println(result.Verdict, err)
	// Output: wall_time <nil>
}

func ExamplePool() {
	shape := sandbox.Spec{CWD: sandbox.CWDNone, Limits: sandbox.Limits{Pids: 20}}
	pool, err := sandbox.NewPool(shape, sandbox.PoolOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	for _, name := range []string{"first", "second"} {
		c := pool.Command("sh", "-c", `echo "$0 in a sandbox of its own"; test ! -e /tmp/seen; echo $?; touch /tmp/seen`, name)
		c.Limits.Wall = 10 * time.Second
		out, result, err := c.Output(context.Background())
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s%s\n", out, result.Verdict)
	}
	// Output:
	// first in a sandbox of its own
	// 0
	// exited
	// second in a sandbox of its own
	// 0
	// exited
}
