// Package s3 reads objects in a bucket of any store that speaks S3.
//
// It imports collector/source, the names of secrets and the driver. Invariants: keys outside of the prefix, and such as could lead out of
// a folder, are never touched; an object's ETag is its version.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/tollstream/tollstream/collector/secret"
	"github.com/tollstream/tollstream/collector/source"
)

// Place is a bucket, or what has a prefix in it.
type Place struct {
	config source.S3
	client minio.Core
	wire   *http.Transport
}

var _ source.Place = (*Place)(nil)

// Open makes a client; the first request shows whether the store lets it in.
func Open(_ context.Context, config source.S3, secrets secret.Store) (*Place, error) {
	return open(config, secrets, source.Dial(source.Timeout))
}

func open(config source.S3, secrets secret.Store, dial source.Dialer) (*Place, error) {
	p := &Place{config: config}
	fail := func(err error) (*Place, error) { return nil, fmt.Errorf("open bucket %s: %w", config.Bucket, err) }
	endpoint := config.Endpoint
	if endpoint == "" {
		endpoint = "https://s3." + config.Region + ".amazonaws.com"
	}
	if config.Region == "" {
		config.Region = "us-east-1" // what other stores than Amazon's expect
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return fail(err)
	}
	p.wire = &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dial, TLSHandshakeTimeout: source.Timeout, ResponseHeaderTimeout: source.Timeout,
		IdleConnTimeout: source.Timeout, MaxIdleConnsPerHost: 4, DisableCompression: true, // an object is wanted as it is
	}
	options := &minio.Options{
		Secure: u.Scheme == "https", Region: config.Region, MaxRetries: 3, BucketLookup: minio.BucketLookupAuto,
		Transport: p.wire, Creds: credentials.NewStaticV4("", "", ""),
	}
	if config.PathStyle {
		options.BucketLookup = minio.BucketLookupPath
	}
	if config.AccessKey != "" {
		access, err := secrets.Get(config.AccessKey)
		if err != nil {
			return fail(err)
		}
		key, err := secrets.Get(config.SecretKey)
		if err != nil {
			return fail(err)
		}
		options.Creds = credentials.NewStaticV4(access, key, "")
	}
	client, err := minio.NewCore(u.Host, options)
	if err != nil {
		return fail(err)
	}
	p.client = *client
	return p, nil
}

func (p *Place) wrap(ctx context.Context, operation, path string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	switch answer := minio.ToErrorResponse(err); {
	case answer.Code == minio.NoSuchKey, answer.Code == minio.NoSuchBucket:
		err = fmt.Errorf("%w: %w", source.ErrGone, err)
	case answer.StatusCode == http.StatusForbidden, answer.StatusCode == http.StatusUnauthorized:
		err = fmt.Errorf("%w: %w; look at access_key and secret_key, and what they may do", source.ErrRefused, err)
	}
	return fmt.Errorf("%s %s in the bucket %s: %w", operation, path, p.config.Bucket, err)
}

// key is an object's name in the bucket.
func (p *Place) key(path string) (string, error) {
	if err := source.CheckPath(path); err != nil {
		return "", err //nolint:wrapcheck // it names the path
	}
	return p.config.Prefix + path, nil
}

// entry describes an object. Listings know fractions of a second, other answers do not.
func entry(path string, o minio.ObjectInfo) source.Entry {
	return source.Entry{Path: path, Size: o.Size, Modified: o.LastModified.UTC().Truncate(time.Second), Version: o.ETag}
}

// List implements source.Place. Keys that end with a slash stand for folders, and are none.
func (p *Place) List(ctx context.Context, recursive bool, visit func(source.Entry) error) error {
	listing, stop := context.WithCancel(ctx)
	defer stop()
	for o := range p.client.ListObjectsIter(listing, p.config.Bucket, minio.ListObjectsOptions{Prefix: p.config.Prefix, Recursive: recursive}) {
		if o.Err != nil {
			return p.wrap(ctx, "list", p.config.Prefix, o.Err)
		}
		path := strings.TrimPrefix(o.Key, p.config.Prefix)
		if source.CheckPath(path) != nil {
			continue
		}
		if err := visit(entry(path, o)); err != nil {
			return err
		}
	}
	return p.wrap(ctx, "list", p.config.Prefix, ctx.Err())
}

// Stat implements source.Place.
func (p *Place) Stat(ctx context.Context, path string) (source.Entry, error) {
	o, err := p.look(ctx, path)
	return entry(path, o), p.wrap(ctx, "look at", path, err)
}

func (p *Place) look(ctx context.Context, path string) (minio.ObjectInfo, error) {
	key, err := p.key(path)
	if err != nil {
		return minio.ObjectInfo{}, err
	}
	return p.client.StatObject(ctx, p.config.Bucket, key, minio.StatObjectOptions{}) //nolint:wrapcheck // wrap does
}

// Open implements source.Place.
func (p *Place) Open(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	key, err := p.key(path)
	var options minio.GetObjectOptions
	if err == nil && offset > 0 {
		err = options.SetRange(offset, 0)
	}
	if err != nil {
		return nil, p.wrap(ctx, "read", path, err)
	}
	body, info, _, err := p.client.GetObject(ctx, p.config.Bucket, key, options)
	if err != nil {
		return nil, p.wrap(ctx, "read", path, err)
	}
	return &reader{ReadCloser: body, ctx: ctx, left: info.Size}, nil
}

// reader notices a body that ends too early.
type reader struct {
	io.ReadCloser
	ctx  context.Context //nolint:containedctx // of the request that the body belongs to
	left int64
}

func (r *reader) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	r.left -= int64(n)
	switch {
	case err == nil:
		return n, nil
	case r.ctx.Err() != nil:
		return n, r.ctx.Err() //nolint:wrapcheck // the caller names the file
	case errors.Is(err, io.EOF) && r.left > 0:
		return n, source.ErrCut
	}
	return n, err //nolint:wrapcheck // the caller names the file
}

// Remove implements source.Place.
func (p *Place) Remove(ctx context.Context, path string) error {
	key, err := p.key(path)
	if err == nil {
		err = p.client.RemoveObject(ctx, p.config.Bucket, key, minio.RemoveObjectOptions{})
	}
	return p.wrap(ctx, "remove", path, err)
}

// copied is the metadata of a copy that says which version of which object it is of.
const copied = "Tollstream-Moved"

// maxCopyBytes is what S3 copies in one request.
const maxCopyBytes = 5 << 30

// Move implements source.Place: S3 can only copy and delete. A copy says what it is of, so that a move that was stopped between the two
// is ended by the next.
func (p *Place) Move(ctx context.Context, from, to string) error {
	fail := func(err error) error { return p.wrap(ctx, "move to", to, err) }
	before, err := p.key(from)
	if err != nil {
		return fail(err)
	}
	after, err := p.key(to)
	if err != nil {
		return fail(err)
	}
	original, err := p.look(ctx, from)
	if err != nil {
		return fail(err)
	}
	what := original.ETag + " " + url.PathEscape(before)
	switch standing, err := p.look(ctx, to); {
	case err == nil && standing.UserMetadata[copied] == what:
	case err == nil:
		return fail(fs.ErrExist)
	case minio.ToErrorResponse(err).Code != minio.NoSuchKey:
		return fail(err)
	default:
		metadata := map[string]string{}
		maps.Copy(metadata, original.UserMetadata)
		metadata[copied] = what
		target := minio.CopyDestOptions{
			Bucket: p.config.Bucket, Object: after, UserMetadata: metadata, ReplaceMetadata: true, ContentType: original.ContentType,
		}
		origin := minio.CopySrcOptions{Bucket: p.config.Bucket, Object: before, MatchETag: original.ETag}
		if original.Size <= maxCopyBytes {
			_, err = p.client.Client.CopyObject(ctx, target, origin)
		} else {
			_, err = p.client.ComposeObject(ctx, target, origin)
		}
		if err != nil {
			return fail(err)
		}
	}
	return p.Remove(ctx, from)
}

// Close implements source.Place.
func (p *Place) Close() error {
	p.wire.CloseIdleConnections()
	return nil
}
