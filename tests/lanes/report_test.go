package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestTimes(t *testing.T) {
	done := func(pkg string, took time.Duration, slow ...slowTest) outcome {
		return outcome{pkg, tally{slow: slow}, took}
	}
	got := times([]*laneRun{
		{lane: "uml", outcomes: []outcome{
			done("limits", 20*time.Second, slowTest{"TestA", 4 * time.Second}, slowTest{"TestB", 9 * time.Second}),
			done("idmap", time.Second),
		}},
		{lane: "systemd", outcomes: []outcome{done("limits", 12*time.Second, slowTest{"TestA", 5 * time.Second})}},
	})
	assert.Equal(t, `seconds                  uml   systemd
idmap                    1.0         –
limits                  20.0      12.0  TestB 9.0  TestA 5.0
`, got)
}

func TestPackagesAreThere(t *testing.T) {
	for _, e := range packages() {
		assert.DirExists(t, "../../"+e.pkg)
		assert.NotEmpty(t, append(e.lanes, e.asked...), e.pkg)
	}
}
