package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzParse(f *testing.F) {
	f.Add("--profile=default")
	f.Add("--profile\njudge\n--format=json")
	f.Add("--\n-\n=")
	f.Fuzz(func(t *testing.T, text string) {
		o, err := parse(strings.Split(text, "\n"))
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		for _, p := range o.profiles {
			require.True(t, slices.Contains([]string{"default", "judge", "strict", "none"}, p), p)
		}
	})
}
