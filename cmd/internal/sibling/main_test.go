package sibling

import (
	"testing"

	"github.com/jailrun/jailrun/tests/rootless"
)

func TestMain(m *testing.M) { rootless.Main(m) }
