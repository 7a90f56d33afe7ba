package jobspec

import (
	"embed"
	"strings"
)

//go:embed examples/*.yaml
var examples embed.FS

// Examples are commented job files, by name.
func Examples() map[string]string {
	all := map[string]string{}
	entries, _ := examples.ReadDir("examples") // embedded: it is there
	for _, e := range entries {
		text, _ := examples.ReadFile("examples/" + e.Name())
		all[strings.TrimSuffix(e.Name(), ".yaml")] = string(text)
	}
	return all
}
