package profile

import (
	"slices"

	"golang.org/x/net/bpf"
)

// segment says that values from lo up to the next segment go on at node to.
type segment struct {
	lo uint32
	to int
}

// region is a run of segments with one answer but for single values.
type region struct {
	lo     uint32
	to     int
	points []segment
}

// search returns a decision tree over all 32-bit values: a comparison between
// two regions each, one for each single value within a region.
func (b *builder) search(load int, segments []segment) int {
	merged := segments[:0:0]
	for _, s := range segments {
		if n := len(merged); n == 0 || merged[n-1].to != s.to {
			merged = append(merged, s)
		}
	}
	root := b.tree(regions(merged))
	n := b.nodes[root]
	// If every value leads to the same place, that place may look at a word of
	// its own.
	if n.leaf || n.load != loadNone || load == loadNone {
		return root
	}
	n.load = load
	return b.add(n)
}

func (b *builder) tree(rs []region) int {
	if len(rs) == 1 {
		to := rs[0].to
		for _, p := range slices.Backward(rs[0].points) {
			to = b.add(node{load: loadNone, op: bpf.JumpEqual, k: p.lo, t: p.to, f: to})
		}
		return to
	}
	mid := len(rs) / 2
	return b.add(node{
		load: loadNone, op: bpf.JumpGreaterOrEqual, k: rs[mid].lo,
		t: b.tree(rs[mid:]), f: b.tree(rs[:mid]),
	})
}

// maxRegion bounds the segments of one region, and with them the longest chain
// of comparisons.
const maxRegion = 24

// regions cuts the segments so that the tree has the fewest instructions: a
// region costs one, a single value in it one. An answer for one value costs a
// comparison less as a point than between two regions.
func regions(segments []segment) []region {
	n := len(segments)
	cost := make([]int, n+1) // of the first i segments
	from := make([]int, n+1) // where the last region of these begins
	for end := 1; end <= n; end++ {
		cost[end] = -1
		for begin := end - 1; begin >= 0 && end-begin <= maxRegion; begin-- {
			r, ok := join(segments, begin, end)
			if !ok {
				continue
			}
			if c := cost[begin] + 1 + len(r.points); cost[end] < 0 || c < cost[end] {
				cost[end], from[end] = c, begin
			}
		}
	}
	var rs []region
	for end := n; end > 0; end = from[end] {
		r, _ := join(segments, from[end], end)
		rs = append(rs, r)
	}
	for i, j := 0, len(rs)-1; i < j; i, j = i+1, j-1 {
		rs[i], rs[j] = rs[j], rs[i]
	}
	return rs
}

// join makes one region of segments, if all that are longer than one value have
// the same answer.
func join(segments []segment, begin, end int) (region, bool) {
	single := func(i int) bool { return i+1 < len(segments) && segments[i+1].lo == segments[i].lo+1 }
	r := region{lo: segments[begin].lo, to: segments[begin].to}
	wide := false
	for i := begin; i < end; i++ {
		if single(i) {
			continue
		}
		if wide && segments[i].to != r.to {
			return region{}, false
		}
		r.to, wide = segments[i].to, true
	}
	for i := begin; i < end; i++ {
		if segments[i].to != r.to {
			r.points = append(r.points, segments[i])
		}
	}
	return r, true
}
