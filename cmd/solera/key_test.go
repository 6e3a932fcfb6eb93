package main

import (
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

func appWith(env map[string]string) (*app, *strings.Builder) {
	var errs strings.Builder
	return &app{name: "solera", stdout: io.Discard, stderr: &errs, env: func(key string) string { return env[key] }}, &errs
}

func TestKeysHaveAPlace(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the folders are those of Linux")
	}
	home := t.TempDir()
	tests := []struct {
		name string
		env  map[string]string
		want string
	}{
		{"at home", map[string]string{"HOME": home}, filepath.Join(home, ".config/solera/signing.pem")},
		{"where configurations are", map[string]string{"HOME": home, "XDG_CONFIG_HOME": "/x"}, "/x/solera/signing.pem"},
		{"not in a relative folder", map[string]string{"HOME": home, "XDG_CONFIG_HOME": "x"}, filepath.Join(home, ".config/solera/signing.pem")},
		{"where the user says", map[string]string{"HOME": home, "SOLERA_KEY": "/k.pem"}, "/k.pem"},
		{"nowhere without a home", map[string]string{}, ""},
		{"nowhere in a home that is not there", map[string]string{"HOME": filepath.Join(home, "none")}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, _ := appWith(test.env)
			if got, _ := a.keyPath(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestTheSignerIsChosenBeforeWorkBegins(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the folders are those of Linux")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	blocked := t.TempDir()
	if err := os.WriteFile(filepath.Join(blocked, ".config"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		env    map[string]string
		signs  bool
		err    string // in the error
		notice string // on stderr
	}{
		{"with a key at home", map[string]string{"HOME": home}, true, "", ""},
		{"with none if the user says so", map[string]string{"HOME": home, "SOLERA_KEY": "off"}, false, "", ""},
		{"with a key of the moment without a home", nil, true, "", "a key that ends with it"},
		{"an error for a key that is none", map[string]string{"SOLERA_KEY": file}, false, "no whole PEM block", ""},
		{"an error for a place that cannot be", map[string]string{"SOLERA_KEY": filepath.Join(file, "key.pem")}, false, "SOLERA_KEY=off", ""},
		{"an error where a file is in the way", map[string]string{"HOME": blocked}, false, "SOLERA_KEY=FILE", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, errs := appWith(test.env)
			var tr tracking.Tracker
			err := a.sign(&tr)
			if test.err != "" {
				var in *solera.InputError
				if !errors.As(err, &in) || !strings.Contains(err.Error(), test.err) || in.Hint == "" {
					t.Errorf("got %v, want %q and a mend", err, test.err)
				}
				return
			}
			if err != nil || (tr.Sign != nil) != test.signs || (tr.Key.ID != "") != test.signs {
				t.Errorf("signs: %v, key %q, %v; want %v", tr.Sign != nil, tr.Key.ID, err, test.signs)
			}
			if strings.Contains(errs.String(), "signing key") != (test.notice != "") || !strings.Contains(errs.String(), test.notice) {
				t.Errorf("stderr %q, want %q", errs.String(), test.notice)
			}
		})
	}
}

func TestExternalFilesAreOpenedOnThisMachineOnly(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a b#.txt")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(path string) string { return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String() }
	tests := []struct {
		ref  string
		want error // nil = it opens
	}{
		{at(file), nil},
		{at(file + ".none"), solera.ErrNotFound},
		{"file://elsewhere/a.txt", solera.ErrInvalid},
		{"s3://bucket/a.txt", errors.ErrUnsupported},
		{"https://example.com/a.txt", errors.ErrUnsupported},
		{"://", errors.ErrUnsupported},
	}
	for _, test := range tests {
		r, err := openReference(context.Background(), solera.Entry{Ref: test.ref})
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.ref, err, test.want)
		}
		if err != nil {
			continue
		}
		if b, err := io.ReadAll(r); err != nil || string(b) != "hello" {
			t.Errorf("%s: %q, %v", test.ref, b, err)
		}
		r.Close()
	}
	if _, err := openReference(context.Background(), solera.Entry{Ref: at(dir)}); err == nil || errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a folder: %v, want an error that it is no file", err)
	}
}
