package local

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	databaseName = "tollstream"
	roleName     = "tollstream"

	// startAttempts covers a port that is taken between its choice and its use.
	startAttempts = 3
	// restartPause is waited before a server that died by itself is started again.
	restartPause = time.Second
	// pollEvery is how often the server's own files and /proc are looked at.
	pollEvery = 5 * time.Millisecond
	// readyWithin bounds a start, recovery after a crash included.
	readyWithin = 2 * time.Minute
	maxLogBytes = 16 << 20
)

// postgresServer is a PostgreSQL that runs as a child of this process.
//
// Files, all owned by the user that the server runs as, below DataDir/postgres:
// data (the cluster), password, server.log. The server is never given their
// path: it inherits the open directory as descriptor 3 and reaches everything
// through /proc/self/fd/3, so it needs no right to pass the directories above.
type postgresServer struct {
	dir      string
	bin      string // folder of initdb and postgres
	password string
	port     int
	files    *os.File            // the open directory
	user     *syscall.Credential // nil: the same user as this process
	log      *slog.Logger

	life     context.Context // ends when close is called
	end      context.CancelFunc
	watching sync.WaitGroup
	mu       sync.Mutex
	child    *child // the running server, replaced when it is restarted
}

const inheritedDir = "/proc/self/fd/3"

func startPostgres(ctx context.Context, cfg Config, port int) (_ *postgresServer, err error) {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	p := &postgresServer{
		dir: filepath.Join(cfg.DataDir, "postgres"), port: port,
		log: cfg.Log.With("store", "postgres"),
	}
	p.life, p.end = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start postgresql in %s: %w", p.dir, err), p.close(context.WithoutCancel(ctx)))
		}
	}()
	if err := p.openDir(); err != nil {
		return nil, err
	}
	if p.bin, err = findBinaries(ctx, cfg, p.version()); err != nil {
		return nil, err
	}
	if err := stopLeftover(ctx, p.dataDir(), p.log); err != nil {
		return nil, err
	}
	if err := p.initCluster(ctx); err != nil {
		return nil, err
	}
	if err := p.launchAnywhere(ctx); err != nil {
		return nil, err
	}
	p.watching.Go(p.watch)
	if err := p.createDatabase(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *postgresServer) dataDir() string { return filepath.Join(p.dir, "data") }

// version is the major version that wrote the files, "" if there are none yet.
func (p *postgresServer) version() string {
	text, err := os.ReadFile(filepath.Join(p.dataDir(), "PG_VERSION"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func (p *postgresServer) url(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(roleName, p.password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)), Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// openDir creates and opens the directory and settles which user the server
// runs as: for root the owner of the files, for anybody else the caller.
func (p *postgresServer) openDir() error {
	err := os.Mkdir(p.dir, 0o700)
	fresh := err == nil
	if err != nil && !os.IsExist(err) {
		return err
	}
	if p.files, err = os.Open(p.dir); err != nil {
		return err
	}
	info, err := p.files.Stat()
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	group := info.Sys().(*syscall.Stat_t).Gid
	self := uint32(os.Geteuid())
	if self != 0 {
		if owner != self {
			return fmt.Errorf("the files belong to user %d and this process runs as user %d: start it as that user or as root, or choose another directory with TOLLSTREAM_DATA_DIR", owner, self)
		}
		return nil
	}
	if fresh || owner == 0 {
		if owner, group, err = serverUser(); err != nil {
			return err
		}
		if err := p.files.Chown(int(owner), int(group)); err != nil {
			return err
		}
	}
	p.user = &syscall.Credential{Uid: owner, Gid: group}
	return nil
}

// initCluster creates the cluster unless it exists. It appears under its name
// only when it is complete, so a start that was killed half way leaves nothing
// that looks like one.
func (p *postgresServer) initCluster(ctx context.Context) error {
	secret := filepath.Join(p.dir, "password")
	if p.version() != "" {
		text, err := os.ReadFile(secret)
		if err != nil {
			return fmt.Errorf("read the password of the existing cluster: %w", err)
		}
		p.password = strings.TrimSpace(string(text))
		return nil
	}
	p.log.Info("creating the database cluster", "dir", p.dataDir())
	var random [20]byte
	_, _ = rand.Read(random[:]) // never fails
	p.password = hex.EncodeToString(random[:])
	if err := p.writeOwned(secret, p.password+"\n"); err != nil {
		return err
	}
	unfinished := filepath.Join(p.dir, "data.new")
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	err := p.runTool(ctx, "initdb", "--pgdata="+inheritedDir+"/data.new", "--username="+roleName,
		"--pwfile="+inheritedDir+"/password", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions")
	if err != nil {
		return err
	}
	if err := os.Rename(unfinished, p.dataDir()); err != nil {
		return err
	}
	return p.files.Sync()
}

// writeOwned writes a file that only the server's user can read.
func (p *postgresServer) writeOwned(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if p.user != nil {
		err = f.Chown(int(p.user.Uid), int(p.user.Gid))
	}
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// launchAnywhere launches on the wanted port if it is free, else on another.
func (p *postgresServer) launchAnywhere(ctx context.Context) (err error) {
	for range startAttempts {
		if p.port, err = freePort(p.port); err != nil {
			return err
		}
		if err = p.launch(ctx); err == nil || ctx.Err() != nil {
			break
		}
	}
	return err
}

// launch starts the server and waits until it takes connections.
func (p *postgresServer) launch(ctx context.Context) error {
	c, err := p.spawn()
	if err != nil {
		return err
	}
	if err := c.awaitReady(ctx, p.dataDir()); err != nil {
		c.stop(ctx)
		return fmt.Errorf("%w; its log is %s, which ends with:\n%s", err, p.logPath(), tail(p.logPath(), 2000))
	}
	p.mu.Lock()
	p.child = c
	p.mu.Unlock()
	p.log.Info("ready", "port", p.port, "pid", c.pid)
	return nil
}

func (p *postgresServer) logPath() string { return filepath.Join(p.dir, "server.log") }

// watch starts the server again, on the same port, when it ends by itself.
// Clients see their connections break and then a server that has recovered.
func (p *postgresServer) watch() {
	for {
		select {
		case <-p.life.Done():
			return
		case <-p.current().exited:
		}
		select {
		case <-p.life.Done():
			return
		case <-time.After(restartPause):
		}
		p.log.Error("the server ended by itself, starting it again", "pid", p.current().pid, "ended", p.current().err)
		ctx, cancel := context.WithTimeout(p.life, readyWithin)
		err := stopLeftover(ctx, p.dataDir(), p.log)
		if err == nil {
			err = p.launch(ctx)
		}
		cancel()
		if err != nil {
			p.log.Error("the server could not be started again, trying on", "error", err)
		}
	}
}

func (p *postgresServer) current() *child {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.child
}

func (p *postgresServer) createDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, p.url("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, databaseName).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		if _, err := conn.Exec(ctx, `CREATE DATABASE `+databaseName); err != nil {
			return fmt.Errorf("create the database: %w", err)
		}
	}
	return nil
}

// close stops the server; see Stores.Close. Called once.
func (p *postgresServer) close(ctx context.Context) error {
	p.end()
	p.watching.Wait()
	var err error
	if c := p.current(); c != nil {
		c.stop(ctx)
		// A postmaster that had to be killed leaves its workers for a moment.
		err = stopLeftover(context.WithoutCancel(ctx), p.dataDir(), p.log)
	}
	if p.files != nil {
		err = errors.Join(err, p.files.Close())
		p.files = nil
	}
	return err
}
