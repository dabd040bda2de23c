package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
)

const cookieName = "session"

// server answers requests. It keeps nothing but the store, so any number of requests may come at a
// time.
type server struct {
	store *Store
	log   *slog.Logger
}

// handler returns what the server can be asked.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("GET /me", s.inSession(s.me))
	mux.HandleFunc("GET /sessions", s.inSession(s.list))
	mux.HandleFunc("DELETE /sessions/{id}", s.inSession(s.end))
	mux.HandleFunc("POST /logout", s.inSession(s.logout))
	return mux
}

// login begins a session. It believes everybody: here a service looks at a password.
func (s *server) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	token, err := s.store.Begin(r.Context(), r.PostFormValue("user"), r.UserAgent())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	setCookie(w, token, 0)
	s.answer(w, http.StatusCreated, map[string]string{"token": token})
}

// inSession gives a request to fn with the session that its cookie opens, which lives on. The cookie
// has no time of its own: the store knows better when the session ends.
func (s *server) inSession(fn func(w http.ResponseWriter, r *http.Request, current Session)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie(cookieName)
		if err != nil {
			s.fail(w, r, ErrNoSession)
			return
		}
		current, err := s.store.Use(cookie.Value)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		fn(w, r, current)
	}
}

func (s *server) me(w http.ResponseWriter, _ *http.Request, current Session) {
	s.answer(w, http.StatusOK, current)
}

func (s *server) list(w http.ResponseWriter, r *http.Request, current Session) {
	all := []Session{}
	for session, err := range s.store.Of(current.User) {
		if err != nil {
			s.fail(w, r, err)
			return
		}
		all = append(all, session)
	}
	s.answer(w, http.StatusOK, all)
}

func (s *server) end(w http.ResponseWriter, r *http.Request, current Session) {
	if err := s.store.End(r.Context(), current.User, r.PathValue("id")); err != nil {
		s.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *server) logout(w http.ResponseWriter, r *http.Request, current Session) {
	if err := s.store.End(r.Context(), current.User, current.ID); err != nil {
		s.fail(w, r, err)
		return
	}
	setCookie(w, "", -1)
	w.WriteHeader(http.StatusNoContent)
}

func setCookie(w http.ResponseWriter, token string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: token, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// answer writes a value as JSON. Who has gone before he has it all is not told.
func (s *server) answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

// fail says what went wrong: all of it to those who have made the mistake, and little to others.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, ErrNoSession):
		status = http.StatusUnauthorized
	case errors.Is(err, ErrUser):
		status = http.StatusBadRequest
	default:
		s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "err", err)
		err = errors.New(http.StatusText(status))
	}
	s.answer(w, status, map[string]string{"error": err.Error()})
}
