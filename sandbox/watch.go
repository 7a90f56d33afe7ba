package sandbox

import (
	"time"

	"github.com/jailrun/jailrun/limits"
)

type watch struct {
	next time.Duration
	cpu  time.Duration
}

func (w *watch) tick(now time.Duration)           {}
func (w *watch) peak() *int64                     { return nil }
func (w *watch) hostOOMs() (o limits.Opt[uint64]) { return }
func (r *run) enforcement() enforcement {
	return enforcement{tier: r.tier, pidsByGroup: r.tier == TierCgroup}
}
