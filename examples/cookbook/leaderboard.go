package cookbook

import (
	"context"
	"errors"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
)

// Leaderboard has the score of each player, and the players in the order of their scores.
type Leaderboard struct {
	db     *lightning.DB
	scores *lightning.Keyspace // player: place
	places *lightning.Keyspace // the greatest score first, then the player's name
}

func OpenLeaderboard(ctx context.Context, db *lightning.DB) (*Leaderboard, error) {
	scores, err := db.Keyspace(ctx, "scores", nil)
	if err != nil {
		return nil, err
	}
	places, err := db.Keyspace(ctx, "places", nil)
	return &Leaderboard{db, scores, places}, err
}

// Set gives a player a score, whatever he had before.
func (l *Leaderboard) Set(player string, score int64) error {
	place, err := keyenc.Append(nil, keyenc.Desc(score), player)
	if err != nil {
		return err
	}
	return l.db.Update(func(tx *lightning.Tx) error {
		old, err := tx.In(l.scores).Get([]byte(player))
		switch {
		case err == nil:
			if err := tx.In(l.places).Delete(old); err != nil {
				return err
			}
		case !errors.Is(err, lightning.ErrNotFound):
			return err
		}
		if err := tx.In(l.scores).Put([]byte(player), place); err != nil {
			return err
		}
		return tx.In(l.places).Put(place, nil)
	})
}

// Top returns the names of the best n players.
func (l *Leaderboard) Top(n int) (players []string, err error) {
	rows, err := l.places.Iterator(lightning.IterOptions{})
	if err != nil {
		return nil, err
	}
	for len(players) < n && rows.Next() {
		place := keyenc.NewDecoder(rows.Key())
		_, scoreErr := place.Desc().Int64()
		player, nameErr := place.String()
		if err := errors.Join(scoreErr, nameErr); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		players = append(players, player)
	}
	return players, rows.Close()
}

// Rank returns the place of a player, from 1. It counts those before him.
func (l *Leaderboard) Rank(ctx context.Context, player string) (rank int64, err error) {
	err = l.db.View(func(tx *lightning.Tx) error {
		place, err := tx.In(l.scores).Get([]byte(player))
		if err != nil {
			return err
		}
		rank, err = tx.In(l.places).Count(ctx, nil, place)
		return err
	})
	return rank + 1, err
}
