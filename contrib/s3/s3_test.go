package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/backup"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newClient returns a client of a server in this process, or, where LIGHTNING_S3_ENDPOINT, _KEY and
// _SECRET are in the environment, of a real one on the same machine.
func newClient(t *testing.T, bucket string) *minio.Client {
	t.Helper()
	endpoint, key, secret := os.Getenv("LIGHTNING_S3_ENDPOINT"), os.Getenv("LIGHTNING_S3_KEY"), os.Getenv("LIGHTNING_S3_SECRET")
	if endpoint == "" {
		server := httptest.NewServer(gofakes3.New(s3mem.New()).Server())
		t.Cleanup(server.Close)
		endpoint, key, secret = strings.TrimPrefix(server.URL, "http://"), "key", "secret"
	}
	client, err := minio.New(endpoint, &minio.Options{Creds: credentials.NewStaticV4(key, secret, "")})
	must(t, err)
	if ok, _ := client.BucketExists(t.Context(), bucket); !ok {
		must(t, client.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}))
	}
	return client
}

// What was put is there, and nothing else; prefixes keep targets of one bucket apart.
func TestTarget(t *testing.T) {
	ctx := t.Context()
	client := newClient(t, "lightning-target")
	first, second := New(client, "lightning-target", "first"), New(client, "lightning-target", "second/")
	data := bytes.Repeat([]byte("chunk"), 100_000)
	must(t, first.Put(ctx, "chunks/ab/abcd", data))
	must(t, first.Put(ctx, "FORMAT", []byte("x")))
	must(t, first.Put(ctx, "FORMAT", []byte("text")))
	must(t, second.Put(ctx, "FORMAT", []byte("y")))
	read := func(target backup.Target, name string) ([]byte, error) {
		r, err := target.Get(ctx, name)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	}
	if got, err := read(first, "chunks/ab/abcd"); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	if got, err := read(first, "FORMAT"); err != nil || string(got) != "text" {
		t.Errorf("%q came back, %v", got, err)
	}
	if _, err := read(second, "chunks/ab/abcd"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what another target has: %v", err)
	}
	if got := list(t, first, ""); !slices.Equal(got, []string{"FORMAT 4", "chunks/ab/abcd 500000"}) {
		t.Errorf("listed %q", got)
	}
	if got := list(t, first, "chunks/"); !slices.Equal(got, []string{"chunks/ab/abcd 500000"}) {
		t.Errorf("listed %q", got)
	}
	must(t, first.Delete(ctx, "FORMAT"))
	must(t, first.Delete(ctx, "FORMAT"))
	if got := list(t, second, ""); !slices.Equal(got, []string{"FORMAT 1"}) {
		t.Errorf("listed %q", got)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for _, err := range first.List(ended, "") {
		if err == nil {
			t.Error("a list goes on behind its context")
		}
	}
	must(t, errors.Join(first.Delete(ctx, "chunks/ab/abcd"), second.Delete(ctx, "FORMAT")))
}

func list(t *testing.T, target backup.Target, prefix string) (names []string) {
	t.Helper()
	for o, err := range target.List(t.Context(), prefix) {
		must(t, err)
		names = append(names, fmt.Sprintf("%s %d", o.Name, o.SizeBytes))
	}
	slices.Sort(names)
	return names
}

// A database goes to a bucket and comes back; what was deleted is gone, and the rest stays.
func TestBackup(t *testing.T) {
	ctx := t.Context()
	target := New(newClient(t, "lightning-backups"), "lightning-backups", t.Name())
	dir := t.TempDir()
	db, err := lightning.Open(filepath.Join(dir, "db"), &lightning.Options{MemoryBudget: 16 << 20})
	must(t, err)
	defer db.Close()
	var ids []string
	for i := range 3 {
		for j := range 500 {
			must(t, db.Put(fmt.Appendf(nil, "%d-%d", i, j), bytes.Repeat([]byte{byte(i)}, 500)))
		}
		must(t, db.Flush(ctx))
		info, err := db.Backup(ctx, target, backup.Options{})
		must(t, err)
		ids = append(ids, info.ID)
	}
	d, err := backup.Delete(ctx, target, backup.PruneOptions{}, ids[1])
	must(t, err)
	if len(d.Kept) != 2 {
		t.Errorf("deleted %+v", d)
	}
	report, err := backup.Check(ctx, target, backup.CheckOptions{})
	must(t, err)
	if len(report.Backups) != 2 || len(report.Damage) != 0 {
		t.Errorf("check says %+v", report)
	}
	for i, id := range []string{ids[0], ids[2]} {
		copied := filepath.Join(dir, "copy"+id)
		_, err := backup.Restore(ctx, target, copied, backup.RestoreOptions{ID: id})
		must(t, err)
		back, err := lightning.Open(copied, nil)
		must(t, err)
		n, err := back.Count(ctx, nil, nil)
		if want := int64(500 * (2*i + 1)); err != nil || n != want {
			t.Errorf("%s has %d rows, want %d, %v", id, n, want, err)
		}
		must(t, back.Close())
	}
}
