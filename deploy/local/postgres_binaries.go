package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// fetchedVersion is what is fetched when the system has no PostgreSQL.
const fetchedVersion = embeddedpostgres.V17

// minMajor is the oldest major version that tollstream is tested with.
const minMajor = 15

// findBinaries returns the folder of PostgreSQL's programs: the newest of the
// system, or the one of the major version that wrote existing files, else those
// fetched before, else fetched now.
func findBinaries(ctx context.Context, cfg Config, version string) (string, error) {
	best, bestMajor := "", 0
	consider := func(dir string) {
		major := majorOf(ctx, dir)
		if version != "" && strconv.Itoa(major) != version {
			return
		}
		if major >= minMajor && major > bestMajor {
			best, bestMajor = dir, major
		}
	}
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is valid
	if path, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	for _, dir := range dirs {
		consider(dir)
	}
	if best != "" {
		return best, nil
	}
	fetched, err := fetchedDir(cfg)
	if err != nil {
		return "", err
	}
	if consider(filepath.Join(fetched, "bin")); best != "" {
		return best, nil
	}
	if wanted, _, _ := strings.Cut(string(fetchedVersion), "."); version != "" && version != wanted {
		return "", fmt.Errorf("the files were written by PostgreSQL %s, whose programs are not here: install postgresql-%s", version, version)
	}
	cfg.Log.Info("no PostgreSQL on this system, fetching it once", "version", fetchedVersion, "to", fetched)
	if err := fetchBinaries(fetched); err != nil {
		return "", err
	}
	if consider(filepath.Join(fetched, "bin")); best == "" {
		return "", fmt.Errorf("the programs fetched to %s do not run: install PostgreSQL (apt-get install postgresql)", fetched)
	}
	return best, nil
}

// majorOf asks a folder's server for its major version; 0 if there is none.
func majorOf(ctx context.Context, dir string) int {
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return 0
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0
	}
	// postgres (PostgreSQL) 15.20 (Debian …)
	fields := strings.Fields(string(out))
	if len(fields) < 3 {
		return 0
	}
	number, _, _ := strings.Cut(fields[2], ".")
	major, _ := strconv.Atoi(number)
	return major
}

func fetchedDir(cfg Config) (string, error) {
	dir := cfg.BinaryDir
	if dir == "" && os.Geteuid() == 0 {
		dir = "/var/cache/tollstream/postgres"
	}
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find a place for PostgreSQL's programs: %w", err)
		}
		dir = filepath.Join(cache, "tollstream", "postgres")
	}
	return filepath.Join(dir, string(fetchedVersion)), nil
}

// fetchBinaries downloads and extracts the programs. The library can do that
// only as the first part of Start, which goes on to create a cluster; given a
// place where none can be, it ends there, and what it has extracted stays.
func fetchBinaries(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "tollstream-postgres-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	obstacle := filepath.Join(scratch, "file")
	if err := os.WriteFile(obstacle, nil, 0o600); err != nil {
		return err
	}
	port, err := freePort(0)
	if err != nil {
		return err
	}
	server := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(fetchedVersion).Port(uint32(port)).Logger(io.Discard).
		CachePath(scratch).RuntimePath(filepath.Join(scratch, "run")).BinariesPath(dir).
		DataPath(filepath.Join(obstacle, "no-cluster-here")))
	if err = server.Start(); err == nil {
		return errors.Join(errors.New("fetch PostgreSQL: a server started although it had no place"), server.Stop())
	}
	if _, missing := os.Stat(filepath.Join(dir, "bin", "postgres")); missing != nil {
		return fmt.Errorf("fetch PostgreSQL %s (or install it: apt-get install postgresql): %w", fetchedVersion, err)
	}
	return nil
}

// serverUser is whom a server started by root runs as.
func serverUser() (uid, gid uint32, err error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		id, err1 := strconv.ParseUint(u.Uid, 10, 32)
		group, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return uint32(id), uint32(group), nil
		}
	}
	return 0, 0, errors.New("PostgreSQL does not run as root and this system has neither a user postgres nor a user nobody")
}
