package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// listening waits for the line that says where the program listens.
type listening struct {
	mu      sync.Mutex
	text    strings.Builder
	address chan string
}

var addressForm = regexp.MustCompile(`address=(\S+)`)

func (l *listening) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if found := addressForm.FindSubmatch(p); found != nil {
		l.address <- string(found[1])
	}
	return l.text.Write(p)
}

func (l *listening) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// program is the program while it runs.
type program struct {
	out   *listening
	url   string
	stop  func()
	ended chan error
}

func start(t *testing.T, dir string) *program {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := &program{out: &listening{address: make(chan string, 1)}, stop: stop, ended: make(chan error, 1)}
	go func() { p.ended <- run(ctx, []string{"--db", dir, "--listen", "127.0.0.1:0"}, p.out) }()
	select {
	case address := <-p.out.address:
		p.url = "http://" + address
	case err := <-p.ended:
		t.Fatalf("the program ended with %v:\n%s", err, p.out)
	}
	return p
}

// end ends the program as an interrupt does.
func (p *program) end(t *testing.T) {
	t.Helper()
	p.stop()
	if err := <-p.ended; err != nil {
		t.Errorf("the program ended with %v:\n%s", err, p.out)
	}
}

// ask sends a request, and decodes the answer into a value if there is one for it.
func ask(ctx context.Context, base, method, path, token string, into any) (int, error) {
	var body io.Reader
	if path == "/login" {
		body, token = strings.NewReader(url.Values{"user": {token}}.Encode()), ""
	}
	request, err := http.NewRequestWithContext(ctx, method, base+path, body)
	if err != nil {
		return 0, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if token != "" {
		request.AddCookie(&http.Cookie{Name: cookieName, Value: token})
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if into != nil {
		err = json.NewDecoder(response.Body).Decode(into)
	}
	return response.StatusCode, err
}

// visitor is a user of the test with requests that must have a status.
type visitor struct {
	t    *testing.T
	base string
	name string
}

func (v visitor) ask(want int, method, path, token string, into any) {
	status, err := ask(v.t.Context(), v.base, method, path, token, into)
	if err != nil || status != want {
		v.t.Errorf("%s: %s %s: %d, %v, want %d", v.name, method, path, status, err, want)
	}
}

func (v visitor) login() string {
	var answer struct{ Token string }
	v.ask(http.StatusCreated, "POST", "/login", v.name, &answer)
	return answer.Token
}

// visit does all that a user can do, while others do.
func (v visitor) visit() {
	phone, desk := v.login(), v.login()
	var me Session
	v.ask(http.StatusOK, "GET", "/me", phone, &me)
	if me.User != v.name || me.Expires.Before(me.Began) || me.Agent == "" {
		v.t.Errorf("%s has the session %+v", v.name, me)
	}
	var all []Session
	v.ask(http.StatusOK, "GET", "/sessions", desk, &all)
	if len(all) != 2 {
		v.t.Errorf("%s has the sessions %+v", v.name, all)
	}
	for _, session := range all {
		if session.ID == me.ID { // the phone was lost
			v.ask(http.StatusNoContent, "DELETE", "/sessions/"+session.ID, desk, nil)
		}
	}
	v.ask(http.StatusUnauthorized, "GET", "/me", phone, nil)
	v.ask(http.StatusOK, "GET", "/me", desk, nil)
	v.ask(http.StatusNoContent, "POST", "/logout", desk, nil)
	v.ask(http.StatusUnauthorized, "POST", "/logout", desk, nil)
}

// Users come and go at the same time, and none sees another's sessions; who stays logged in is so
// after a restart.
func TestSessions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions.db")
	p := start(t, dir)
	var users sync.WaitGroup
	for n := range 16 {
		users.Go(func() { visitor{t, p.url, fmt.Sprintf("user %d", n)}.visit() })
	}
	users.Wait()
	ada := visitor{t, p.url, "ada"}
	token := ada.login()
	p.end(t)

	p = start(t, dir)
	defer p.end(t)
	ada.base = p.url
	ada.ask(http.StatusOK, "GET", "/me", token, nil)
	ada.ask(http.StatusUnauthorized, "GET", "/me", "", nil)
	for _, forged := range []string{"x", "!", token[:len(token)-2], token + "AA"} {
		ada.ask(http.StatusUnauthorized, "GET", "/me", forged, nil)
	}
	ada.ask(http.StatusUnauthorized, "DELETE", "/sessions/!", token, nil)
	visitor{t, p.url, ""}.ask(http.StatusBadRequest, "POST", "/login", "", nil)
	visitor{t, p.url, ""}.ask(http.StatusBadRequest, "POST", "/login", strings.Repeat("x", userMaxBytes+1), nil)
}

// A request that has begun is answered when the program is told to end.
func TestShutdownLetsRequestsEnd(t *testing.T) {
	p := start(t, filepath.Join(t.TempDir(), "sessions.db"))
	in, out := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), "POST", p.url+"/login", in)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Expect", "100-continue") // the body is sent when the handler asks for it
	answered := make(chan error, 1)
	go func() {
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			err = response.Body.Close()
			if response.StatusCode != http.StatusCreated {
				err = errors.Join(err, fmt.Errorf("status %s", response.Status))
			}
		}
		answered <- err
	}()
	if _, err := out.Write([]byte("user=")); err != nil { // returns when it was asked for
		t.Fatal(err)
	}
	p.stop()
	if _, err := out.Write([]byte("ada")); err != nil {
		t.Fatal(err)
	}
	out.Close()
	if err := <-answered; err != nil {
		t.Errorf("a request under way at the end: %v", err)
	}
	p.end(t)
}

// A session ends half an hour after its last use, and not before.
func TestSlidingExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := lightning.Open("sessions", &lightning.Options{FS: memfs.New()})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		store, err := OpenStore(t.Context(), db, 30*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		token, err := store.Begin(t.Context(), "ada", "test")
		if err != nil {
			t.Fatal(err)
		}
		handler := (&server{store: store, log: slog.New(slog.DiscardHandler)}).handler()
		use := func() int {
			request := httptest.NewRequestWithContext(t.Context(), "GET", "/me", nil)
			request.AddCookie(&http.Cookie{Name: cookieName, Value: token})
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, request)
			return answer.Code
		}
		for range 5 {
			time.Sleep(29 * time.Minute)
			if status := use(); status != http.StatusOK {
				t.Fatalf("a session in use: %d", status)
			}
		}
		time.Sleep(31 * time.Minute)
		if status := use(); status != http.StatusUnauthorized {
			t.Errorf("a session that was not used: %d", status)
		}
		for session, err := range store.Of("ada") {
			t.Errorf("there is still %+v, %v", session, err)
		}
	})
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--help"}, flag.ErrHelp.Error()},
		{[]string{"x"}, `no arguments but flags: "x"`},
		{[]string{"--idle", "0s"}, "--idle must be positive"},
		{[]string{"--listen", "nowhere", "--db", filepath.Join(t.TempDir(), "s.db")}, "nowhere"},
	} {
		var out strings.Builder
		if err := run(t.Context(), c.args, &out); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.args, err, c.want)
		}
		if c.args[0] == "--help" && !strings.Contains(out.String(), "go run ./examples/sessions") {
			t.Errorf("--help printed %s", out.String())
		}
	}
}
