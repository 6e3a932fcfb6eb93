package wandb

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/solera-ml/solera"
)

// DefaultURL is the address of the public server.
const DefaultURL = "https://api.wandb.ai"

// Settings say which server a [Client] speaks to, and as whom.
type Settings struct {
	URL       string // of the server, without a slash at its end
	Key       string // secret; never in a log, an error or a record
	KeyFrom   string // where Key was found, for people: "WANDB_API_KEY", "/home/ana/.netrc"; "" = nowhere
	Workspace string // whose projects; "" = the default of whoever the key belongs to
	Project   string // name of the project on the server; "" = as here
}

// SettingsOf reads the variables that every client of such a server knows:
// WANDB_BASE_URL, WANDB_API_KEY (else the password in .netrc), WANDB_ENTITY and
// WANDB_PROJECT.
// A key that is nowhere is no error here: [Settings.Check] reports it.
func SettingsOf(env func(string) string) (Settings, error) {
	s := Settings{Workspace: strings.TrimSpace(env("WANDB_ENTITY")), Project: strings.TrimSpace(env("WANDB_PROJECT"))}
	var err error
	if s.URL, err = checkURL(env("WANDB_BASE_URL")); err != nil {
		return Settings{}, err
	}
	if key := strings.TrimSpace(env("WANDB_API_KEY")); key != "" {
		s.Key, s.KeyFrom = key, "WANDB_API_KEY"
	} else if s.Key, s.KeyFrom, err = netrcKey(env, s.Host()); err != nil {
		return Settings{}, err
	}
	if s.Key != "" && (len(s.Key) > 4096 || strings.ContainsFunc(s.Key, func(r rune) bool { return r > '~' || r <= ' ' })) {
		return Settings{}, fmt.Errorf("the key from %s: %w: it is longer than any key, or has white space or odd characters in it; copy it again", s.KeyFrom, solera.ErrInvalid)
	}
	for variable, name := range map[string]string{"WANDB_ENTITY": s.Workspace, "WANDB_PROJECT": s.Project} {
		if len(name) > solera.MaxName || strings.ContainsFunc(name, func(r rune) bool { return strings.ContainsRune("/\\#?%:", r) || unicode.IsControl(r) }) {
			return Settings{}, fmt.Errorf("%s %q: %w: it is no name", variable, clipped(name), solera.ErrInvalid)
		}
	}
	return s, nil
}

// Host returns the name of the server without a port.
func (s Settings) Host() string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// Page returns the address where people look at a project.
func (s Settings) Page(workspace, project string) string {
	base := strings.Replace(s.URL, "://api.", "://", 1)
	return base + "/" + url.PathEscape(workspace) + "/" + url.PathEscape(project)
}

// Check reports a missing key.
func (s Settings) Check() error {
	if s.Key != "" {
		return nil
	}
	return &solera.InputError{
		Msg: "no key for " + s.URL, Err: solera.ErrNotFound,
		Hint: "set WANDB_API_KEY, or write a line for machine " + s.Host() + " into .netrc",
	}
}

// Plain reports whether the key travels to another machine unencrypted.
func (s Settings) Plain() bool {
	u, err := url.Parse(s.URL)
	return err == nil && u.Scheme == "http" && !isLoopback(u.Hostname())
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// checkURL returns the address of a server in the form in which paths are
// added to it. Unencrypted it must be asked for: by http:// in front of it.
func checkURL(given string) (string, error) {
	given = strings.TrimRight(strings.TrimSpace(given), "/")
	if given == "" {
		return DefaultURL, nil
	}
	bad := func(why string) (string, error) {
		return "", fmt.Errorf("WANDB_BASE_URL %s: %w: %s", clipped(solera.RedactURL(given)), solera.ErrInvalid, why)
	}
	u, err := url.Parse(given)
	switch {
	case err != nil:
		return "", fmt.Errorf("WANDB_BASE_URL: %w: it is no URL; write https://HOST", solera.ErrInvalid)
	case u.Scheme != "https" && u.Scheme != "http":
		return bad("write https://HOST (or http://127.0.0.1:PORT for a server on this machine)")
	case u.Hostname() == "" || u.Opaque != "":
		return bad("it names no host")
	case u.User != nil:
		return bad("the key does not belong into the address; set WANDB_API_KEY")
	case u.RawQuery != "" || u.Fragment != "":
		return bad("leave out what follows the path")
	}
	return given, nil
}

// netrcKey returns the password of a machine in the file that NETRC names, or
// in .netrc of the home folder, and where it was.
func netrcKey(env func(string) string, host string) (key, from string, err error) {
	name := env("NETRC")
	if name == "" {
		home := env("HOME")
		if home == "" {
			home = env("USERPROFILE")
		}
		if home == "" {
			return "", "", nil
		}
		name = filepath.Join(home, ".netrc")
		if _, err := os.Stat(name); err != nil {
			name = filepath.Join(home, "_netrc") // as it is called on Windows
		}
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("look for a key: %w", err)
	}
	defer f.Close()
	key, err = netrcPassword(io.LimitReader(f, 1<<20), host)
	if err != nil {
		return "", "", fmt.Errorf("look for a key in %s: %w", name, err)
	}
	if key == "" {
		return "", "", nil
	}
	return key, name, nil
}

// netrcPassword reads the words of a .netrc. An entry "default" is nobody's key
// in particular, so it is not sent to a host that the file does not name.
func netrcPassword(r io.Reader, host string) (string, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 64<<10)
	ours, macro, password := false, false, ""
	expect := ""
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if macro { // its text ends with an empty line
			macro = line != ""
			continue
		}
		for word := range strings.FieldsSeq(line) {
			if expect == "" && strings.HasPrefix(word, "#") {
				break
			}
			switch expect {
			case "machine":
				ours, expect = strings.EqualFold(word, host), ""
				continue
			case "password":
				if ours && password == "" {
					password = strings.Trim(word, `"`)
				}
				expect = ""
				continue
			case "login", "account":
				expect = ""
				continue
			case "macdef":
				expect, macro = "", true
				continue
			}
			switch word {
			case "machine", "login", "password", "account", "macdef":
				expect = word
			case "default":
				ours = false
			}
		}
	}
	return password, lines.Err()
}
