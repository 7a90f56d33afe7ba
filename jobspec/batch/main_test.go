package batch

import (
	"os"
	"testing"

	"github.com/jailrun/jailrun/tests/rootless"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("JAILRUN_TEST_BATCH"); dir != "" {
		os.Exit(victim(dir))
	}
	rootless.Main(m)
}
