// Package s3 keeps backups of Lightning DB in a bucket of S3, or of a server that speaks its
// protocol.
//
//	client, err := minio.New("s3.example.com", &minio.Options{Creds: credentials.NewEnvAWS(), Secure: true})
//	...
//	target := s3.New(client, "backups", "orders/")
//	info, err := db.Backup(ctx, target, backup.Options{})
//
// What a target is asked for is few and plain: PUT, GET and DELETE of objects of at most 8 MiB, but
// for lists of very large databases, and LIST. The store must show at once what was written, as S3 does
// since 2020. Keep versions and life-cycle rules off the prefix: a chunk that is expired is missing
// in every backup that has it.
package s3

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/lightningdb/lightning/backup"
)

// New returns a target that is a bucket, which must exist, or what of it is under a prefix, which is
// empty or ends with a slash. How requests are signed, repeated and limited is for the client.
func New(client *minio.Client, bucket, prefix string) backup.Target {
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return &target{client, bucket, prefix}
}

type target struct {
	client         *minio.Client
	bucket, prefix string
}

// Put implements backup.Target.
func (t *target) Put(ctx context.Context, name string, data []byte) error {
	_, err := t.client.PutObject(ctx, t.bucket, t.prefix+name, bytes.NewReader(data), int64(len(data)),
		minio.PutObjectOptions{ContentType: "application/octet-stream"})
	return t.failure("store", name, err)
}

// Get implements backup.Target.
func (t *target) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	object, err := t.client.GetObject(ctx, t.bucket, t.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, t.failure("read", name, err)
	}
	// The request is made with the first question.
	if _, err := object.Stat(); err != nil {
		_ = object.Close() // there is none
		return nil, t.failure("read", name, err)
	}
	return object, nil
}

// List implements backup.Target.
func (t *target) List(ctx context.Context, prefix string) iter.Seq2[backup.Object, error] {
	return func(yield func(backup.Object, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // or who lists would wait for somebody to take what he has found
		for o := range t.client.ListObjects(ctx, t.bucket, minio.ListObjectsOptions{Prefix: t.prefix + prefix, Recursive: true}) {
			if o.Err != nil {
				yield(backup.Object{}, t.failure("list", prefix, o.Err))
				return
			}
			if !yield(backup.Object{Name: strings.TrimPrefix(o.Key, t.prefix), SizeBytes: o.Size}, nil) {
				return
			}
		}
		if ctx.Err() != nil {
			yield(backup.Object{}, context.Cause(ctx))
		}
	}
}

// Delete implements backup.Target.
func (t *target) Delete(ctx context.Context, name string) error {
	err := t.client.RemoveObject(ctx, t.bucket, t.prefix+name, minio.RemoveObjectOptions{})
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return nil
	}
	return t.failure("delete", name, err)
}

// failure says what has failed.
func (t *target) failure(what, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case minio.ToErrorResponse(err).Code == minio.NoSuchKey:
		return fmt.Errorf("%s %s%s in bucket %s: %w", what, t.prefix, name, t.bucket, fs.ErrNotExist)
	}
	return fmt.Errorf("%s %s%s in bucket %s: %w", what, t.prefix, name, t.bucket, err)
}
