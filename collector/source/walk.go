package source

import (
	"context"
	"path"
	"strings"
)

// maxDepth ends the way down where a link leads back up and looks like a folder.
const maxDepth = 32

// Walk lists a tree: list gives the files and the folders of one folder, "" is the place itself, by their names. Names that could lead
// out of it are passed over. A folder that vanished meanwhile is list's business.
func Walk(ctx context.Context, recursive bool, list func(folder string) (files []Entry, folders []string, err error), visit func(Entry) error) error {
	todo := []string{""}
	for len(todo) > 0 {
		folder := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if err := ctx.Err(); err != nil {
			return err //nolint:wrapcheck // the caller names what was stopped
		}
		files, folders, err := list(folder)
		if err != nil {
			return err
		}
		for _, e := range files {
			if !plain(folder, e.Path) {
				continue
			}
			e.Path = path.Join(folder, e.Path)
			if err := visit(e); err != nil {
				return err
			}
		}
		for _, name := range folders {
			if recursive && plain(folder, name) && strings.Count(folder, "/") < maxDepth {
				todo = append(todo, path.Join(folder, name))
			}
		}
	}
	return nil
}

// plain says that a name is one part of a path.
func plain(folder, name string) bool {
	return !strings.Contains(name, "/") && name != "." && name != ".." && CheckPath(name) == nil && CheckPath(path.Join(folder, name)) == nil
}
