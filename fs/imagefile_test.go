package fs

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func anImage() *Image {
	return &Image{
		ID: "sha256:" + strings.Repeat("0a", 32), Layers: []string{strings.Repeat("0", 24), strings.Repeat("f", 24)},
		Env: []string{"A=b", "B=\n\x00\xff"}, Workdir: "/x y", User: "1:2", Entrypoint: []string{"sh", "-c"}, Cmd: []string{"", "id \"x\""},
		Users: Users{Passwd: "a:x:1:1:::\n", Group: "b:x:1:\n"},
	}
}

func TestImageFile(t *testing.T) {
	t.Parallel()
	m, err := DecodeImage(string(anImage().Encode()))
	require.NoError(t, err)
	assert.Equal(t, anImage(), m)

	text := string(anImage().Encode())
	for what, bad := range map[string]string{
		"nothing":           "",
		"another version":   strings.Replace(text, "image 1", "image 2", 1),
		"a key":             text + "more \"x\"\n",
		"no quotes":         text + "env A=b\n",
		"no id":             strings.Replace(text, "id \"sha256:", "id \"md5:", 1),
		"an option":         strings.Replace(text, "\"ffff", "\",upper", 1),
		"a way out":         strings.Replace(text, strings.Repeat("f", 24), "../../../../../../etc/xx", 1),
		"no layers":         strings.ReplaceAll(text, "layer ", "env "),
		"cut in the middle": text[:len(text)-3],
	} {
		_, err := DecodeImage(bad)
		assert.ErrorIs(t, err, ErrImageFile, what)
	}
}

func FuzzDecodeImage(f *testing.F) {
	f.Add(string(anImage().Encode()))
	f.Add("jailrun-image 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := DecodeImage(text)
		if err != nil {
			return
		}
		for _, l := range m.Layers {
			require.NotContains(t, l, ":")
			require.NotContains(t, l, "/")
		}
		again, err := DecodeImage(string(m.Encode()))
		require.NoError(t, err)
		require.Equal(t, m, again)
	})
}

func TestImageName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"debian": true, "debian:12": true, "a.b_c-d:1": true, "0": true,
		"": false, ".": false, "..": false, ".x": false, "-x": false, "a/b": false, "a b": false, "a\n": false, ":x": false, strings.Repeat("a", 201): false,
	} {
		assert.Equal(t, want, IsImageName(name), name)
	}
}
