// Package ftp reads files on FTP servers, over TLS or not.
//
// It imports collector/source, the names of secrets and the driver. Invariants: transfers are passive and binary; what a server calls a
// file never leads out of the configured folder; data connections go to the server that was asked, whatever it answers; a transfer is
// whole only when the server says so.
package ftp

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/textproto"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jlaffaye/ftp"

	"github.com/tollstream/tollstream/collector/secret"
	"github.com/tollstream/tollstream/collector/source"
)

// Place is a folder on an FTP server. A connection that broke is made anew when it is needed.
type Place struct {
	config   source.FTP
	password string
	tls      *tls.Config // nil: none
	dialer   source.Dialer

	conn    *ftp.ServerConn
	root    string // the folder, from the server's root
	used    time.Time
	current context.Context //nolint:containedctx // of the step that runs: the driver's dialling takes none

	mu  sync.Mutex // step and its end
	raw []net.Conn // the control connection, and a transfer's
}

var _ source.Place = (*Place)(nil)

const (
	stale = 15 * time.Second // after which a connection is asked whether it lives
)

// Open connects and logs in.
func Open(ctx context.Context, config source.FTP, secrets secret.Store) (*Place, error) {
	return open(ctx, config, secrets, source.Dial(source.Timeout))
}

func open(ctx context.Context, config source.FTP, secrets secret.Store, dialer source.Dialer) (*Place, error) {
	p := &Place{config: config, dialer: dialer}
	if config.User == "" {
		p.config.User, p.password = "anonymous", "anonymous"
	} else {
		var err error
		if p.password, err = secrets.Get(config.Password); err != nil {
			return nil, fmt.Errorf("password of the FTP server %s: %w", config.Host, err)
		}
	}
	if config.TLS != "" {
		p.tls = &tls.Config{
			ServerName: config.Host, MinVersion: tls.VersionTLS12,
			ClientSessionCache: tls.NewLRUClientSessionCache(4), // servers want the control connection's session for the data
		}
		if config.Certificate != "" {
			pin, err := source.ParseFingerprint(config.Certificate)
			if err != nil {
				return nil, fmt.Errorf("certificate of the FTP server %s: %w", config.Host, err)
			}
			p.tls.InsecureSkipVerify = true // the pin says more than a name in a certificate
			p.tls.VerifyConnection = func(state tls.ConnectionState) error {
				if raw := state.PeerCertificates[0].Raw; sha256.Sum256(raw) != pin {
					return fmt.Errorf("the certificate has the fingerprint %s, the configuration pins %s; if the server's operator says that the new one is right, change certificate: %w",
						source.Fingerprint(raw), config.Certificate, source.ErrRefused)
				}
				return nil
			}
		}
	}
	if err := p.do(ctx, "connect to", "", func() error { return nil }); err != nil {
		return nil, err
	}
	return p, nil
}

// do runs one step on a connection that lives; the step ends with ctx.
func (p *Place) do(ctx context.Context, operation, name string, step func() error) error {
	end, err := p.begin(ctx)
	if err == nil {
		err = end(step())
	}
	if err != nil {
		return fmt.Errorf("%s %s on the FTP server %s: %w", operation, name, p.config.Host, err)
	}
	return nil
}

// begin gives a connection that lives, and end, which a step is over with: it says what its error means.
func (p *Place) begin(ctx context.Context) (end func(error) error, err error) {
	p.current = ctx
	stop := context.AfterFunc(ctx, p.cut)
	end = func(err error) error {
		stop()
		p.used = time.Now()
		var reply *textproto.Error
		if err != nil && !errors.As(err, &reply) {
			p.drop()
		}
		if ctx.Err() != nil && err != nil {
			return ctx.Err() //nolint:wrapcheck // do wraps it
		}
		return means(err)
	}
	if p.conn != nil && time.Since(p.used) > stale && p.conn.NoOp() != nil {
		p.drop()
	}
	if p.conn == nil {
		if err := p.connect(); err != nil {
			err = end(err)
			p.drop()
			return nil, err
		}
	}
	return end, nil
}

// means tells apart what can be tried again.
func means(err error) error {
	var reply *textproto.Error
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &untrusted):
		shown := ""
		if len(untrusted.UnverifiedCertificates) > 0 {
			shown = ": " + source.Fingerprint(untrusted.UnverifiedCertificates[0].Raw)
		}
		return fmt.Errorf("%w: %w; if the server's operator says that the certificate is right, write its fingerprint to certificate%s", source.ErrRefused, err, shown)
	case !errors.As(err, &reply):
		return err
	case reply.Code == ftp.StatusNotLoggedIn || reply.Code == 532:
		return fmt.Errorf("%w: %w; look at user and password", source.ErrRefused, err)
	case reply.Code == 550 && strings.Contains(strings.ToLower(reply.Msg), "permission"):
		return fmt.Errorf("%w: %w", source.ErrRefused, err)
	case reply.Code == 550:
		return fmt.Errorf("%w: %w", source.ErrGone, err)
	}
	return err
}

func (p *Place) connect() error {
	p.mu.Lock()
	p.raw = nil
	p.mu.Unlock()
	options := []ftp.DialOption{ftp.DialWithDialFunc(p.dial)}
	switch p.config.TLS {
	case "explicit":
		options = append(options, ftp.DialWithExplicitTLS(p.tls))
	case "implicit":
		options = append(options, ftp.DialWithTLS(p.tls))
	}
	conn, err := ftp.Dial(net.JoinHostPort(p.config.Host, strconv.Itoa(p.config.Port)), options...)
	if err != nil {
		return err //nolint:wrapcheck // do wraps it
	}
	p.conn = conn
	if err := conn.Login(p.config.User, p.password); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	home, err := conn.CurrentDir()
	if err != nil {
		return fmt.Errorf("ask for the folder: %w", err)
	}
	p.root = path.Join("/", p.config.Path)
	if !strings.HasPrefix(p.config.Path, "/") {
		p.root = path.Join("/", home, p.config.Path)
	}
	return nil
}

// dial makes the control connection first, and a data connection behind it.
func (p *Place) dial(network, address string) (net.Conn, error) {
	conn, err := p.dialer(p.current, network, address)
	if err != nil {
		return nil, err //nolint:wrapcheck // do wraps it
	}
	p.mu.Lock()
	control := len(p.raw) == 0
	p.raw = append(p.raw[:min(1, len(p.raw))], conn)
	p.mu.Unlock()
	if p.current.Err() != nil {
		p.cut()
	}
	if p.tls == nil || (control && p.config.TLS == "explicit") { // then the driver begins TLS when it has asked
		return conn, nil
	}
	return tls.Client(conn, p.tls), nil
}

// cut ends whatever goes on.
func (p *Place) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.raw {
		_ = c.Close() // it is given up
	}
}

func (p *Place) drop() {
	p.cut()
	p.conn = nil
}

func (p *Place) path(name string) (string, error) {
	if err := source.CheckPath(name); err != nil {
		return "", err //nolint:wrapcheck // it names the path
	}
	return path.Join(p.root, name), nil
}

// List implements source.Place.
func (p *Place) List(ctx context.Context, recursive bool, visit func(source.Entry) error) error {
	return source.Walk(ctx, recursive, func(folder string) (files []source.Entry, folders []string, err error) {
		err = p.do(ctx, "list", folder, func() error {
			files, folders, err = p.folder(path.Join(p.root, folder))
			return err
		})
		if folder != "" && errors.Is(err, source.ErrGone) {
			return nil, nil, nil
		}
		return files, folders, err
	}, visit)
}

// folder lists one folder. It goes there first: in the argument of a listing some servers see patterns and options.
func (p *Place) folder(at string) (files []source.Entry, folders []string, err error) {
	if err := p.conn.ChangeDir(at); err != nil {
		return nil, nil, err //nolint:wrapcheck // do wraps it
	}
	entries, err := p.conn.List("")
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // do wraps it
	}
	for _, e := range entries {
		switch e.Type {
		case ftp.EntryTypeFile:
			files = append(files, source.Entry{Path: e.Name, Size: int64(e.Size), Modified: e.Time, Coarse: !p.conn.IsTimePreciseInList()})
		case ftp.EntryTypeFolder:
			folders = append(folders, e.Name)
		case ftp.EntryTypeLink: // may lead anywhere
		}
	}
	return files, folders, nil
}

// Stat implements source.Place.
func (p *Place) Stat(ctx context.Context, name string) (found source.Entry, err error) {
	err = p.do(ctx, "look at", name, func() error {
		at, err := p.path(name)
		if err != nil {
			return err
		}
		found, err = p.look(name, at)
		return err
	})
	return found, err
}

func (p *Place) look(name, at string) (source.Entry, error) {
	if p.conn.IsTimePreciseInList() {
		e, err := p.conn.GetEntry(at)
		if err != nil {
			return source.Entry{}, err //nolint:wrapcheck // do wraps it
		}
		if e.Type != ftp.EntryTypeFile {
			return source.Entry{}, fmt.Errorf("not a file: %w", source.ErrGone)
		}
		return source.Entry{Path: name, Size: int64(e.Size), Modified: e.Time}, nil
	}
	size, err := p.conn.FileSize(at)
	var reply *textproto.Error
	switch {
	case errors.As(err, &reply) && reply.Code >= 500 && reply.Code <= 504, err == nil && !p.conn.IsGetTimeSupported():
		return p.search(name, at) // a server of before RFC 3659
	case err != nil:
		return source.Entry{}, err //nolint:wrapcheck // do wraps it
	}
	modified, err := p.conn.GetTime(at)
	return source.Entry{Path: name, Size: size, Modified: modified}, err //nolint:wrapcheck // do wraps it
}

// search looks for a file in its folder's listing.
func (p *Place) search(name, at string) (source.Entry, error) {
	files, _, err := p.folder(path.Dir(at))
	if err != nil {
		return source.Entry{}, err
	}
	for _, e := range files {
		if e.Path == path.Base(at) {
			e.Path = name
			return e, nil
		}
	}
	return source.Entry{}, source.ErrGone
}

// Open implements source.Place.
func (p *Place) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	end, err := p.begin(ctx)
	if err == nil {
		var at string
		var response *ftp.Response
		if at, err = p.path(name); err == nil {
			response, err = p.conn.RetrFrom(at, uint64(offset))
		}
		if err == nil {
			return &reader{p: p, response: response, end: end}, nil
		}
		err = end(err)
	}
	return nil, fmt.Errorf("read %s on the FTP server %s: %w", name, p.config.Host, err)
}

type reader struct {
	p        *Place
	response *ftp.Response
	end      func(error) error
	over     error
}

// Read implements io.Reader. A data connection that ends says nothing; the server's reply does.
func (r *reader) Read(b []byte) (int, error) {
	if r.over != nil {
		return 0, r.over
	}
	n, err := r.response.Read(b)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // the latter: TLS that was not closed, which some servers never do
		if r.over = r.end(r.response.Close()); r.over != nil {
			r.over = fmt.Errorf("%w: %w", source.ErrCut, r.over)
		} else {
			r.over = io.EOF
		}
	default:
		r.over = r.end(err)
	}
	return n, r.over
}

// Close implements io.Closer. A transfer that is not at its end takes the connection with it: servers differ in what they do then.
func (r *reader) Close() error {
	if r.over == nil {
		r.p.drop()
		r.over = r.end(io.ErrClosedPipe)
	}
	return nil
}

// Remove implements source.Place.
func (p *Place) Remove(ctx context.Context, name string) error {
	err := p.do(ctx, "remove", name, func() error {
		at, err := p.path(name)
		if err == nil {
			err = p.conn.Delete(at)
		}
		return err
	})
	if errors.Is(err, source.ErrGone) {
		if _, serr := p.Stat(ctx, name); errors.Is(serr, source.ErrGone) {
			return nil
		}
	}
	return err
}

// Move implements source.Place. FTP can only ask first whether a file stands there.
func (p *Place) Move(ctx context.Context, from, to string) error {
	switch _, err := p.Stat(ctx, to); {
	case err == nil:
		return fmt.Errorf("move to %s on the FTP server %s: %w", to, p.config.Host, fs.ErrExist)
	case !errors.Is(err, source.ErrGone):
		return err
	}
	return p.do(ctx, "move to", to, func() error {
		before, err := p.path(from)
		if err != nil {
			return err
		}
		parts := strings.Split(path.Dir(to), "/")
		for i := range parts {
			if path.Dir(to) != "." {
				_ = p.conn.MakeDir(path.Join(p.root, path.Join(parts[:i+1]...))) // is there as a rule; if not, renaming says so
			}
		}
		return p.conn.Rename(before, path.Join(p.root, to)) //nolint:wrapcheck // do wraps it
	})
}

// Close implements source.Place.
func (p *Place) Close() error {
	if p.conn != nil {
		_ = p.conn.Quit() // out of politeness
	}
	p.drop()
	return nil
}
