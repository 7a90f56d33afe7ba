package hclogtrace_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/sandbox/hclogtrace"
)

func TestNew(t *testing.T) {
	var out bytes.Buffer
	trace := hclogtrace.New(hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: &out, DisableTime: true}))
	trace(sandbox.Event{Time: time.Now(), Stage: "clone", Text: "init forked", Took: 1500 * time.Microsecond})
	trace(sandbox.Event{Stage: "run", Text: "a limit was met"})
	assert.Equal(t, "[DEBUG] init forked: stage=clone took=1.5ms\n[DEBUG] a limit was met: stage=run\n", out.String())
}

func TestNewIsQuietAboveDebug(t *testing.T) {
	var out bytes.Buffer
	trace := hclogtrace.New(hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: &out}))
	trace(sandbox.Event{Stage: "clone", Text: "init forked"})
	assert.Empty(t, out.String(), "a run that is well says nothing at Info")
	require.Nil(t, hclogtrace.New(nil))
}
