package host

import (
	"regexp"
	"strings"

	"github.com/solera-ml/solera"
)

// hidden takes the place of a secret.
const hidden = "REDACTED"

// RedactArgs returns a command line without its secrets: passwords in URLs, the
// values of flags and of NAME=VALUE whose name says that they are secret, and
// words that have the form of a well-known kind of token.
func RedactArgs(args []string) []string {
	out := make([]string, len(args))
	next := false // the argument before was --password
	for i, arg := range args {
		name, value, assigned := strings.Cut(arg, "=")
		flag := strings.HasPrefix(arg, "-")
		switch {
		case next && !flag:
			out[i] = hidden
		case assigned && value != "" && !strings.Contains(name, "://") && solera.SecretName(name):
			out[i] = name + "=" + hidden
		default:
			out[i] = redactWords(arg)
		}
		next = flag && !assigned && solera.SecretName(name)
	}
	return out
}

// redactWords cleans the URLs and tokens within a text.
func redactWords(s string) string {
	s = urls.ReplaceAllStringFunc(s, solera.RedactURL)
	s = assignments.ReplaceAllString(s, "${1}"+hidden)
	return tokens.ReplaceAllString(s, hidden)
}

var (
	urls = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s'"]+`)
	// Within a longer text, such as a connection string "host=db password=x".
	assignments = regexp.MustCompile(`(?i)(\b(?:password|passwd|pwd|secret|token|api_?key|access_?key)\s*[=:]\s*)[^\s&'"]+`)
	// Tokens that name themselves: of GitHub, GitLab, AWS, Slack, Google,
	// Hugging Face, OpenAI and its like, and JSON Web Tokens.
	tokens = regexp.MustCompile(`\b(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|(AKIA|ASIA)[A-Z0-9]{16}|` +
		`xox[a-z]-[A-Za-z0-9-]{10,}|AIza[A-Za-z0-9_-]{30,}|hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*)`)
)
