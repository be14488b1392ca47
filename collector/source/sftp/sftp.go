// Package sftp reads files on SFTP servers.
//
// It imports collector/source, the names of secrets and the drivers. Invariants: nothing is sent to a server whose host key is not the
// pinned one; what a server calls a file never leads out of the configured folder; a server's short read is not taken for the end.
package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/tollstream/tollstream/collector/secret"
	"github.com/tollstream/tollstream/collector/source"
)

// Place is a folder on an SFTP server. A connection that broke is made anew when it is needed.
type Place struct {
	config source.SFTP
	auth   []ssh.AuthMethod
	pin    pin
	dialer source.Dialer
	quiet  time.Duration

	client *sftp.Client
	used   time.Time

	mu  sync.Mutex // a step and its end
	raw net.Conn
}

var _ source.Place = (*Place)(nil)

const stale = 15 * time.Second // after which a connection is asked whether it lives

// Open connects and logs in.
func Open(ctx context.Context, config source.SFTP, secrets secret.Store) (*Place, error) {
	return open(ctx, config, secrets, (&net.Dialer{Timeout: source.Timeout}).DialContext, source.Timeout)
}

func open(ctx context.Context, config source.SFTP, secrets secret.Store, dialer source.Dialer, quiet time.Duration) (*Place, error) {
	p := &Place{config: config, dialer: dialer, quiet: quiet}
	var err error
	if p.pin, err = parsePin(config.HostKey); err == nil {
		p.auth, err = ways(config, secrets)
	}
	if err != nil {
		return nil, fmt.Errorf("log in to the SFTP server %s: %w", config.Host, err)
	}
	if err := p.do(ctx, "connect to", "", func() error { return nil }); err != nil {
		return nil, err
	}
	return p, nil
}

// ways are how one gets in.
func ways(config source.SFTP, secrets secret.Store) ([]ssh.AuthMethod, error) {
	if config.PrivateKey == "" {
		password, err := secrets.Get(config.Password)
		if err != nil {
			return nil, err //nolint:wrapcheck // open wraps it
		}
		asked := func(_, _ string, questions []string, _ []bool) ([]string, error) {
			answers := make([]string, len(questions))
			for i := range answers {
				answers[i] = password
			}
			return answers, nil
		}
		return []ssh.AuthMethod{ssh.Password(password), ssh.KeyboardInteractive(asked)}, nil
	}
	text, err := secrets.Get(config.PrivateKey)
	if err != nil {
		return nil, err //nolint:wrapcheck // open wraps it
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	var signer ssh.Signer
	if config.Passphrase == "" {
		signer, err = ssh.ParsePrivateKey([]byte(text))
	} else {
		var passphrase string
		if passphrase, err = secrets.Get(config.Passphrase); err != nil {
			return nil, err //nolint:wrapcheck // open wraps it
		}
		signer, err = ssh.ParsePrivateKeyWithPassphrase([]byte(text), []byte(passphrase))
	}
	var missing *ssh.PassphraseMissingError
	if errors.As(err, &missing) {
		return nil, fmt.Errorf("the private key %s has a passphrase; write passphrase: {secret: …}", config.PrivateKey)
	}
	if err != nil {
		return nil, fmt.Errorf("the private key %s cannot be read: %w; it begins with -----BEGIN and is whole, with its line ends", config.PrivateKey, err)
	}
	return []ssh.AuthMethod{ssh.PublicKeys(signer)}, nil
}

// do runs one step on a connection that lives; the step ends with ctx, and when the server is quiet for too long.
func (p *Place) do(ctx context.Context, operation, name string, step func() error) error {
	end, err := p.begin(ctx)
	if err == nil {
		err = end(step())
	}
	if err != nil {
		return fmt.Errorf("%s %s on the SFTP server %s: %w", operation, name, p.config.Host, err)
	}
	return nil
}

// begin gives a connection that lives, and end, which a step is over with: it says what its error means.
func (p *Place) begin(ctx context.Context) (end func(error) error, err error) {
	stop := context.AfterFunc(ctx, p.cut)
	if p.client != nil && time.Since(p.used) > stale {
		if _, err := within(p, func() (string, error) { return p.client.Getwd() }); err != nil {
			p.drop()
		}
	}
	end = func(err error) error {
		stop()
		p.used = time.Now()
		var status *sftp.StatusError
		answered := errors.As(err, &status) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrExist) || errors.Is(err, source.ErrGone)
		if err != nil && !answered {
			p.drop()
		}
		if err != nil && ctx.Err() != nil {
			return ctx.Err() //nolint:wrapcheck // do wraps it
		}
		return means(err)
	}
	if p.client == nil {
		if err := p.connect(ctx); err != nil {
			return nil, end(err)
		}
	}
	return end, nil
}

func means(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", source.ErrGone, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", source.ErrRefused, err)
	case err != nil && strings.Contains(err.Error(), "unable to authenticate"):
		return fmt.Errorf("%w: %w; look at user, and password or private_key", source.ErrRefused, err)
	}
	return err
}

// within runs what gives no deadline of its own; a server that is quiet for too long loses the connection.
func within[T any](p *Place, step func() (T, error)) (T, error) {
	timer := time.AfterFunc(p.quiet, p.cut)
	result, err := step()
	if !timer.Stop() && err != nil {
		err = fmt.Errorf("the server said nothing for %s: %w", p.quiet, err)
	}
	return result, err
}

// connect tries the kinds of keys that the server may have under the pin, one after another: a server shows one of several.
func (p *Place) connect(ctx context.Context) error {
	refused := fmt.Errorf("%w: the server has no host key of the kind that host_key names", source.ErrRefused)
	for _, algorithms := range p.pin.algorithms {
		client, err := p.handshake(ctx, algorithms)
		switch {
		case err == nil:
			p.client, p.pin.algorithms = client, [][]string{algorithms}
			return nil
		case errors.Is(err, errOtherKey):
			refused = err
		case !strings.Contains(err.Error(), "no common algorithm for host key"):
			return err
		}
	}
	return refused
}

func (p *Place) handshake(ctx context.Context, algorithms []string) (*sftp.Client, error) {
	address := net.JoinHostPort(p.config.Host, strconv.Itoa(p.config.Port))
	raw, err := p.dialer(ctx, "tcp", address)
	if err != nil {
		return nil, err //nolint:wrapcheck // do wraps it
	}
	p.mu.Lock()
	p.raw = raw
	p.mu.Unlock()
	if ctx.Err() != nil {
		p.cut()
	}
	client, err := within(p, func() (*sftp.Client, error) {
		conn, channels, requests, err := ssh.NewClientConn(raw, address, &ssh.ClientConfig{
			User: p.config.User, Auth: p.auth, HostKeyCallback: p.pin.check, HostKeyAlgorithms: algorithms, ClientVersion: "SSH-2.0-tollstream",
		})
		if err != nil {
			return nil, err //nolint:wrapcheck // do wraps it
		}
		client, err := sftp.NewClient(ssh.NewClient(conn, channels, requests))
		if err != nil {
			return nil, fmt.Errorf("begin SFTP: %w", err)
		}
		return client, nil
	})
	if err != nil {
		p.cut()
	}
	return client, err
}

// cut ends whatever goes on.
func (p *Place) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.raw != nil {
		_ = p.raw.Close() // it is given up
	}
}

func (p *Place) drop() {
	p.cut()
	p.client = nil
}

func (p *Place) path(name string) (string, error) {
	if err := source.CheckPath(name); err != nil {
		return "", err //nolint:wrapcheck // it names the path
	}
	return path.Join(p.root(), name), nil
}

// root is the folder: a relative one begins where the server puts the user.
func (p *Place) root() string { return path.Clean(p.config.Path) }

// List implements source.Place.
func (p *Place) List(ctx context.Context, recursive bool, visit func(source.Entry) error) error {
	return source.Walk(ctx, recursive, func(folder string) (files []source.Entry, folders []string, err error) {
		err = p.do(ctx, "list", folder, func() error {
			found, err := within(p, func() ([]fs.FileInfo, error) { return p.client.ReadDirContext(ctx, path.Join(p.root(), folder)) })
			for _, info := range found {
				switch {
				case info.Mode().IsRegular():
					files = append(files, source.Entry{Path: info.Name(), Size: info.Size(), Modified: info.ModTime()})
				case info.IsDir():
					folders = append(folders, info.Name())
				}
			}
			return err
		})
		if folder != "" && errors.Is(err, source.ErrGone) {
			return nil, nil, nil
		}
		return files, folders, err
	}, visit)
}

// Stat implements source.Place.
func (p *Place) Stat(ctx context.Context, name string) (found source.Entry, err error) {
	err = p.do(ctx, "look at", name, func() error {
		at, err := p.path(name)
		if err != nil {
			return err
		}
		info, err := within(p, func() (fs.FileInfo, error) { return p.client.Lstat(at) })
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("not a regular file: %w", source.ErrGone)
		}
		found = source.Entry{Path: name, Size: info.Size(), Modified: info.ModTime()}
		return nil
	})
	return found, err
}

// Open implements source.Place.
func (p *Place) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	end, err := p.begin(ctx)
	if err == nil {
		var at string
		var file *sftp.File
		if at, err = p.path(name); err == nil {
			file, err = within(p, func() (*sftp.File, error) { return p.client.Open(at) })
		}
		if err == nil {
			return &reader{p: p, file: file, offset: offset, end: end}, nil
		}
		err = end(err)
	}
	return nil, fmt.Errorf("read %s on the SFTP server %s: %w", name, p.config.Host, err)
}

type reader struct {
	p      *Place
	file   *sftp.File
	offset int64
	end    func(error) error
	over   error
}

// Read implements io.Reader. A large buffer is filled by many requests at a time. The driver takes a short answer for the end; the end
// is where nothing comes.
func (r *reader) Read(b []byte) (int, error) {
	if r.over != nil {
		return 0, r.over
	}
	n, err := within(r.p, func() (int, error) { return r.file.ReadAt(b, r.offset) })
	r.offset += int64(n)
	switch {
	case err == nil, errors.Is(err, io.EOF) && n > 0:
		return n, nil
	case errors.Is(err, io.EOF):
		r.over = io.EOF
	default:
		r.over = r.end(err)
	}
	return n, r.over
}

// Close implements io.Closer.
func (r *reader) Close() error {
	if r.over != nil && !errors.Is(r.over, io.EOF) {
		return nil // with the connection
	}
	r.over = fs.ErrClosed
	_, err := within(r.p, func() (struct{}, error) { return struct{}{}, r.file.Close() })
	return r.end(err)
}

// Remove implements source.Place.
func (p *Place) Remove(ctx context.Context, name string) error {
	err := p.do(ctx, "remove", name, func() error {
		at, err := p.path(name)
		if err == nil {
			_, err = within(p, func() (struct{}, error) { return struct{}{}, p.client.Remove(at) })
		}
		return err
	})
	if errors.Is(err, source.ErrGone) {
		return nil
	}
	return err
}

// Move implements source.Place. OpenSSH's server refuses to overwrite; others are asked first.
func (p *Place) Move(ctx context.Context, from, to string) error {
	switch _, err := p.Stat(ctx, to); {
	case err == nil:
		return fmt.Errorf("move to %s on the SFTP server %s: %w", to, p.config.Host, fs.ErrExist)
	case !errors.Is(err, source.ErrGone):
		return err
	}
	return p.do(ctx, "move to", to, func() error {
		before, err := p.path(from)
		if err != nil {
			return err
		}
		after, err := p.path(to)
		if err != nil {
			return err
		}
		_, err = within(p, func() (struct{}, error) {
			if err := p.client.MkdirAll(path.Dir(after)); err != nil {
				return struct{}{}, err //nolint:wrapcheck // do wraps it
			}
			return struct{}{}, p.client.Rename(before, after) //nolint:wrapcheck // do wraps it
		})
		return err
	})
}

// Close implements source.Place.
func (p *Place) Close() error {
	p.drop()
	return nil
}
