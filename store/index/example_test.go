package index_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/index"
)

// Example puts a row, commits it with the log index that it reflects, and finds
// both after opening the file again.
func Example() {
	dir, err := os.MkdirTemp("", "index")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "index.db")
	options := index.Options{Cluster: format.ID{1}, Incarnation: format.ID{2}, Tables: []index.Table{1}}

	db, _, err := index.Open(path, options)
	if err != nil {
		fmt.Println(err)
		return
	}
	db.Put(1, []byte("transaction"), []byte("row"))
	if err := db.Commit(db.Rotate(index.Meta{Applied: 12})); err != nil {
		fmt.Println(err)
		return
	}
	db.Close()

	db, meta, err := index.Open(path, options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	row, err := db.Get(1, []byte("transaction"))
	fmt.Println(meta.Applied, string(row), err)
	// Output: 12 row <nil>
}
