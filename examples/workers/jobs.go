package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/lightningdb/lightning/queue"
)

// letter is the work of this program: a message that is to be sent. Some go wrong, as in life, so
// that there is something to see.
type letter struct {
	Number int
	// Failures is how often the address does not answer before it does.
	Failures int
	// Nobody says that there is no such address, whoever often one tries.
	Nobody bool
}

// Errors of sending.
var (
	errNoAnswer  = errors.New("the address does not answer")
	errNoAddress = errors.New("there is no such address")
)

// newLetter returns the letter of a number: of a hundred, two have an address that never answers
// and so are given up after all attempts, one has none and is given up at once, and five are sent
// at the second or third attempt.
func newLetter(number int) letter {
	l := letter{Number: number}
	switch n := number % 100; {
	case n == 13:
		l.Nobody = true
	case n == 42 || n == 77:
		l.Failures = attempts
	case n%20 == 7:
		l.Failures = 1 + n/20%2
	}
	return l
}

// message is what the queue gets: every tenth letter is urgent, and every tenth is to be sent later.
func (l letter) message() (queue.Message, error) {
	payload, err := json.Marshal(l)
	m := queue.Message{Payload: payload}
	switch l.Number % 10 {
	case 5:
		m.Priority = 1
	case 9:
		m.Delay = 50 * time.Millisecond
	}
	return m, err
}

func decodeLetter(payload []byte) (l letter, err error) {
	if err := json.Unmarshal(payload, &l); err != nil {
		return l, fmt.Errorf("payload of a message: %w", err)
	}
	return l, nil
}

// send sends a letter, as an attempt from 1, which takes some time.
func (l letter) send(attempt int, takes time.Duration) error {
	time.Sleep(takes)
	switch {
	case l.Nobody:
		return errNoAddress
	case attempt <= l.Failures:
		return errNoAnswer
	}
	return nil
}
