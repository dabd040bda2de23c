package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
	"github.com/lightningdb/lightning/table"
)

// Item is an article in the warehouse.
type Item struct {
	ID      keyenc.UUID // for good, as SKUs are not
	SKU     string      // what people call it; no two have the same
	Name    string
	Stock   int
	Reorder int // below this it is to be ordered
}

// missing is how many are to be ordered.
func (i Item) missing() int { return max(0, i.Reorder-i.Stock) }

// Move is a change of the stock of an item.
type Move struct {
	ID     keyenc.UUID
	Item   keyenc.UUID
	Change int
	Left   int
	Reason string
	At     time.Time
}

// The attributes of the two tables, each made once. Queries are made of them.
var (
	itemID  = table.One("id", func(i Item) keyenc.UUID { return i.ID })
	itemSKU = table.One("sku", func(i Item) string { return i.SKU })
	// Small letters, so that a search finds both.
	itemName    = table.One("name", func(i Item) string { return strings.ToLower(i.Name) })
	itemMissing = table.One("missing", Item.missing)

	moveID   = table.One("id", func(m Move) keyenc.UUID { return m.ID }) // sorts by time
	moveItem = table.One("item", func(m Move) keyenc.UUID { return m.Item })
)

var (
	// ErrStock says that there is less than what was to be taken.
	ErrStock = errors.New("not enough in stock")
	// ErrUnknown says that there is no item with a SKU.
	ErrUnknown = errors.New("no such item")
	// ErrItem says that an item cannot be as it was given.
	ErrItem = errors.New("impossible item")
)

// Warehouse keeps items and all moves of their stock: the stock of an item is what its moves add up
// to, since both change in one transaction. It is safe for concurrent use.
type Warehouse struct {
	db    *lightning.DB
	items *table.Table[Item, keyenc.UUID]
	moves *table.Table[Move, keyenc.UUID]
}

// OpenWarehouse returns the warehouse of a database.
func OpenWarehouse(ctx context.Context, db *lightning.DB) (*Warehouse, error) {
	items, err := table.Open(ctx, db, table.Schema[Item, keyenc.UUID]{
		Name: "items",
		Key:  itemID,
		Indexes: []table.Index[Item]{
			{Name: "sku", Unique: true, On: []table.Column[Item]{itemSKU}},
			{Name: "name", On: []table.Column[Item]{itemName}},
			{Name: "missing", On: []table.Column[Item]{itemMissing}},
		},
	})
	if err != nil {
		return nil, err
	}
	moves, err := table.Open(ctx, db, table.Schema[Move, keyenc.UUID]{
		Name:    "moves",
		Key:     moveID,
		Indexes: []table.Index[Move]{{Name: "item", On: []table.Column[Move]{moveItem}}},
	})
	return &Warehouse{db: db, items: items, moves: moves}, err
}

// Add adds an item, whose stock is its first move. A SKU that another item has is a
// *table.DuplicateError.
func (w *Warehouse) Add(item Item) (Item, error) {
	if item.SKU == "" || item.Name == "" || item.Stock < 0 || item.Reorder < 0 {
		return item, fmt.Errorf("%w: it needs a SKU and a name, and no number is negative", ErrItem)
	}
	item.ID = table.NewUUID()
	return item, w.db.Update(func(tx *lightning.Tx) error {
		if err := w.items.In(tx).Insert(item); err != nil {
			return err
		}
		return w.record(tx, item, item.Stock, "first stock")
	})
}

// Move changes the stock of an item, and returns the item as it is then. Nothing is taken that is not
// there, whoever else takes some at the same time.
func (w *Warehouse) Move(sku string, change int, reason string) (item Item, err error) {
	err = w.db.Update(func(tx *lightning.Tx) error {
		if item, err = w.items.In(tx).Query().Where(itemSKU.Eq(sku)).First(); err != nil {
			return w.unknown(sku, err)
		}
		if item.Stock+change < 0 {
			return fmt.Errorf("%w: %d of %s are there, %d were to be taken", ErrStock, item.Stock, sku, -change)
		}
		item.Stock += change
		if err := w.items.In(tx).Put(item); err != nil {
			return err
		}
		return w.record(tx, item, change, reason)
	})
	return item, err
}

// record notes a move in the transaction that makes it.
func (w *Warehouse) record(tx *lightning.Tx, item Item, change int, reason string) error {
	return w.moves.In(tx).Insert(Move{
		ID: table.NewUUID(), Item: item.ID, Change: change, Left: item.Stock, Reason: reason, At: time.Now().UTC(),
	})
}

func (w *Warehouse) unknown(sku string, err error) error {
	if errors.Is(err, lightning.ErrNotFound) {
		return fmt.Errorf("%w: %s", ErrUnknown, sku)
	}
	return err
}

// Search returns a page of the items whose name begins with a text, in the order of names. cursor is
// the Next of the page before, "" for the first one: it stays good when items come and go meanwhile.
func (w *Warehouse) Search(prefix, cursor string, rows int) (*table.Page[Item], error) {
	query := w.items.Query().OrderBy(itemName)
	if prefix != "" {
		query = query.Where(table.HasPrefix(itemName, strings.ToLower(prefix)))
	}
	return query.Page(cursor, rows)
}

// Low returns a page of the items that are to be ordered, those first of which most are missing.
func (w *Warehouse) Low(cursor string, rows int) (*table.Page[Item], error) {
	return w.items.Query().Where(itemMissing.Gt(0)).OrderBy(itemMissing).Reverse().Page(cursor, rows)
}

// History returns a page of the moves of an item, the newest first.
func (w *Warehouse) History(sku, cursor string, rows int) (*table.Page[Move], error) {
	item, err := w.items.Query().Where(itemSKU.Eq(sku)).First()
	if err != nil {
		return nil, w.unknown(sku, err)
	}
	return w.moves.Query().Where(moveItem.Eq(item.ID)).OrderBy(moveID).Reverse().Page(cursor, rows)
}
