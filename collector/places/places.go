// Package places opens the place that a collector's configuration names. It knows every kind of place, so that nobody else has to.
package places

import (
	"context"
	"fmt"

	"github.com/tollstream/tollstream/collector"
	"github.com/tollstream/tollstream/collector/secret"
	"github.com/tollstream/tollstream/collector/source"
	"github.com/tollstream/tollstream/collector/source/ftp"
	"github.com/tollstream/tollstream/collector/source/s3"
	"github.com/tollstream/tollstream/collector/source/sftp"
)

// Open opens a configuration's place, with the secrets that it names.
func Open(ctx context.Context, config collector.SourceConfig, secrets secret.Store) (source.Place, error) {
	switch server := config.Server.(type) {
	case *source.FTP:
		return opened(ftp.Open(ctx, *server, secrets))
	case *source.SFTP:
		return opened(sftp.Open(ctx, *server, secrets))
	case *source.S3:
		return opened(s3.Open(ctx, *server, secrets))
	}
	if config.Type == "folder" {
		return opened(source.OpenFolder(config.Path))
	}
	return nil, fmt.Errorf("a source of the type %s has no files of its own: send it a file", config.Type)
}

// opened keeps a nil pointer from being a Place.
func opened[P source.Place](place P, err error) (source.Place, error) {
	if err != nil {
		return nil, err
	}
	return place, nil
}
