package lightning_test

import (
	"context"
	"fmt"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// A checkpoint is taken while the database is in use, and opened as a database.
func ExampleDB_Checkpoint() {
	disk := memfs.New() // leave it out to use directories
	db, err := lightning.Open("data", &lightning.Options{FS: disk})
	check(err)
	check(db.Put([]byte("city"), []byte("Berlin")))
	check(db.Checkpoint(context.Background(), "backups/monday"))
	check(db.Delete([]byte("city")))
	check(db.Close())

	backup, err := lightning.Open("backups/monday", &lightning.Options{FS: disk, MustExist: true})
	check(err)
	city, err := backup.Get([]byte("city"))
	fmt.Println(string(city), err)
	check(backup.Close())
	// Output: Berlin <nil>
}

// A verification reads all files, at most so fast, and says what is damaged.
func ExampleDB_Verify() {
	db := inMemory()
	check(db.Put([]byte("city"), []byte("Berlin")))
	report, err := db.Verify(context.Background(), lightning.VerifyOptions{BytesPerSecond: 20 << 20})
	check(err)
	for _, damage := range report.Damage {
		fmt.Println(damage.File, damage.Offset, damage)
	}
	fmt.Println(len(report.Damage), "pieces of damage")
	check(db.Close())
	// Output: 0 pieces of damage
}
