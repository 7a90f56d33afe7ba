package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// openRegistry asks a registry for an image. A name without a registry is one of
// Docker Hub; a registry on this machine is spoken to without TLS. Credentials
// are those of ~/.docker/config.json, if it has any.
func openRegistry(ctx context.Context, ref string) (*found, error) {
	r, err := name.ParseReference(ref)
	if err != nil {
		return nil, err
	}
	img, err := remote.Image(r, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}), remote.WithUserAgent("jailrun"))
	if err != nil {
		return nil, registryError(err)
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", registryError(err))
	}
	if m.Config.Size > maxDocument {
		return nil, fmt.Errorf("configuration: %w: it has %d bytes of %d", ErrTooLarge, m.Config.Size, maxDocument)
	}
	config, err := img.RawConfigFile() // its digest has been verified
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", registryError(err))
	}
	f := &found{config: config, close: func() error { return nil }}
	for _, l := range m.Layers {
		if err := checkLayerType(l.MediaType); err != nil {
			return nil, fmt.Errorf("layer %s: %w", l.Digest, err)
		}
		f.layers = append(f.layers, blob{digest: l.Digest.String(), size: l.Size, open: func(context.Context) (io.ReadCloser, error) {
			layer, err := img.LayerByDigest(l.Digest)
			if err != nil {
				return nil, err
			}
			body, err := layer.Compressed()
			return body, registryError(err)
		}})
	}
	return f, nil
}

// registryError puts what a registry says about an absent image into our words.
func registryError(err error) error {
	if t, ok := errors.AsType[*transport.Error](err); ok && t.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%w: %w", ErrNoImage, err)
	}
	return err
}
