package cookbook

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/lightningdb/lightning"
)

// Search finds texts by the beginnings of their words. Its index has a key for each word of each
// text: the word, a zero byte, which no word has, and the name of the text.
type Search struct {
	db    *lightning.DB
	texts *lightning.Keyspace
	words *lightning.Keyspace
}

func OpenSearch(ctx context.Context, db *lightning.DB) (*Search, error) {
	texts, err := db.Keyspace(ctx, "texts", nil)
	if err != nil {
		return nil, err
	}
	words, err := db.Keyspace(ctx, "words", nil)
	return &Search{db, texts, words}, err
}

// wordsOf returns the words of a text, in small letters, each once.
func wordsOf(text string) []string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	slices.Sort(words)
	return slices.Compact(words)
}

// Put stores a text, and has the index know its words and no longer those that it had before.
func (s *Search) Put(name, text string) error {
	return s.db.Update(func(tx *lightning.Tx) error {
		old, err := tx.In(s.texts).Get([]byte(name))
		if err != nil && !errors.Is(err, lightning.ErrNotFound) {
			return err
		}
		for _, word := range wordsOf(string(old)) {
			if err := tx.In(s.words).Delete([]byte(word + "\x00" + name)); err != nil {
				return err
			}
		}
		for _, word := range wordsOf(text) {
			if err := tx.In(s.words).Put([]byte(word+"\x00"+name), nil); err != nil {
				return err
			}
		}
		return tx.In(s.texts).Put([]byte(name), []byte(text))
	})
}

// Find returns the names of the texts that have words with all these beginnings.
func (s *Search) Find(beginnings string) (names []string, err error) {
	err = s.db.View(func(tx *lightning.Tx) error {
		for i, beginning := range wordsOf(beginnings) {
			found := map[string]bool{}
			rows, err := tx.In(s.words).Iterator(lightning.IterOptions{Prefix: []byte(beginning)})
			if err != nil {
				return err
			}
			for rows.Next() {
				_, name, _ := bytes.Cut(rows.Key(), []byte{0})
				found[string(name)] = true
			}
			if err := rows.Close(); err != nil {
				return err
			}
			if i == 0 {
				for name := range found {
					names = append(names, name)
				}
			}
			names = slices.DeleteFunc(names, func(name string) bool { return !found[name] })
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}
