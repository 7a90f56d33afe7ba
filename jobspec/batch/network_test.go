package batch

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/sandbox"
)

// broken is a network that cannot be had.
type broken struct{}

func (broken) Prepare(context.Context, *os.File) (hosts, resolv string, err error) {
	return "", "", errors.New("no such luck")
}

func (broken) Attach(context.Context, int, *os.File, *os.File, *os.File) (func() (json.RawMessage, error), error) {
	return nil, errors.New("was not prepared")
}

func (broken) UsesInit() bool { return false }

func (broken) Close() error { return nil }

// TestNetwork: each job that asks for a network gets one of its own, in what it
// asked for; one that cannot be had is jailrun's failure, tried again where
// the job says so, and no other job has one.
func TestNetwork(t *testing.T) {
	t.Parallel()
	o := preparedWith(t, t.TempDir(), jobspec.Options{Networks: true}, `
jobs:
  none: {run: ["true"]}
  job: {net: slirp, net-allow: 10.0.0.1, retry: 1, run: ["true"]}
  game: {interact: {sides: {a: {net: pasta, run: ["true"]}, b: {run: ["true"]}}}}
`)
	var mu sync.Mutex
	var asked []string
	o.Network = func(words []string) sandbox.Network {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, strings.Join(words, " "))
		return broken{}
	}
	all := records(t, o)
	assert.EqualValues(t, "AC", all["none"].Entry.Code)
	assert.EqualValues(t, "IE", all["job"].Entry.Code)
	assert.Contains(t, all["job"].Entry.Message, "no such luck")
	assert.Equal(t, 2, all["job"].Entry.Attempts)
	assert.EqualValues(t, "IE", all["game"].Entry.Code)
	assert.ElementsMatch(t, []string{"net=slirp net-allow=10.0.0.1", "net=slirp net-allow=10.0.0.1", "net=pasta"}, asked)
}
