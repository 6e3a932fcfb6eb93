package wandb

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
)

// features are what clients may use beyond what they take for granted. One that
// is not here they do without.
var features = []string{
	"STRUCTURED_CONSOLE_LOGS",
	"FILESTREAM_GZIP",
	"SWEEPS_LOCAL_SCHEDULER", // Sweep.enqueue_run
	"LARGE_FILENAMES",
	"MARK_RUN_FILES_UPLOADED",
	"TOTAL_COUNT_IN_FILE_CONNECTION",
	"ARTIFACT_TAGS",
	"CLIENT_IDS",
	"USE_ARTIFACT_WITH_ENTITY_AND_PROJECT_INFORMATION",
	"ARTIFACT_COLLECTION_MEMBERSHIP_FILES",
	"ARTIFACT_COLLECTION_MEMBERSHIP_FILE_DOWNLOAD_HANDLER",
	"ARTIFACT_V2_DOWNLOAD_HANDLER_SUPPORTS_ARTIFACT_ID",
	"PROJECT_ARTIFACT_COLLECTION_MEMBERSHIP",
	"ARTIFACT_COLLECTIONS_FILTERING_SORTING",
	"ARTIFACT_MEMBERSHIP_IN_LINK_ARTIFACT_RESPONSE",
	"ARTIFACT_REGISTRY_SEARCH",
	"INCLUDE_ARTIFACT_TYPES_IN_REGISTRY_CREATION",
}

func (s *service) viewerQueries() map[string]root {
	return map[string]root{
		"viewer":     func(c *call, _ *args) (any, error) { return c.viewer(), nil },
		"serverInfo": s.serverInfo,
		"entity": func(c *call, a *args) (any, error) {
			name := a.Text("name")
			if err := a.Err(); err != nil {
				return nil, err
			}
			sp, err := c.enter(name, auth.Viewer)
			if err != nil {
				// Clients ask about names that they made up, and take no error for an
				// answer.
				return nil, nil //nolint:nilerr // see above
			}
			return c.entity(sp.name), nil
		},
		"organization": s.organizationQuery,
		"users": func(c *call, a *args) (any, error) {
			query := a.Text("query")
			me := c.user()
			var found []object
			if query == "" || strings.EqualFold(query, me) {
				found = []object{c.viewer()}
			}
			return connection("User", page{nodes: found, total: len(found)}), a.Err()
		},
		"__type": s.introspect,
	}
}

// user is the name of who asks, as clients show it.
func (c *call) user() string {
	if p := auth.PrincipalOf(c.ctx); p.User != "" {
		return p.User
	}
	if actor, _, _ := strings.Cut(solera.ActorOf(c.ctx), "@"); actor != "" {
		return actor
	}
	return "solera"
}

// viewer is who asks.
func (c *call) viewer() object {
	p := auth.PrincipalOf(c.ctx)
	mine := c.mine()
	var home any
	teams := make([]object, 0, len(mine))
	for i, name := range mine {
		if i == 0 {
			home = name
		}
		teams = append(teams, c.entity(name))
	}
	o := c.person(c.user())
	o.fields["admin"] = p.Admin()
	o.fields["entity"] = home
	o.fields["flags"] = `{"code_saving_enabled": true}`
	o.fields["teams"] = connection("Entity", page{nodes: teams, total: len(teams)})
	o.fields["apiKeys"] = connection("ApiKey", page{total: 0})
	o.fields["organizations"] = []object{}
	return o
}

// person is a user by name, about whom nothing else is told.
func (c *call) person(name string) object {
	return object{"User", fields{
		"id": globalID("User", name), "name": name, "username": name, "email": nil, "admin": false, "flags": nil,
		"entity": nil, "deletedAt": nil, "photoUrl": nil, "accountType": nil,
		"apiKeys": nil, "teams": nil, "organizations": []object{},
	}}
}

// entity is a workspace as clients have it.
func (c *call) entity(name string) object {
	f := fields{
		"id": globalID("Entity", name), "name": name, "isTeam": true, "entityType": "team", "available": false, "photoUrl": nil,
		"readOnly": false, "readOnlyAdmin": false, "privateOnly": false, "storageBytes": 0, "codeSavingEnabled": true,
		"defaultAccess": nil, "isPaid": false, "members": []object{}, "user": nil,
		"organization": lazy(func() (any, error) { return c.organization(name), nil }),
		"project": resolver(func(a *args) (any, error) {
			return c.service.findProject(c, name, a.Project("name"))
		}),
		"projects": resolver(func(a *args) (any, error) { return c.service.listProjects(c, name, a) }),
	}
	return object{"Entity", join(f, c.service.registryFields(c, name))}
}

func (s *service) serverInfo(*call, *args) (any, error) {
	list := make([]object, len(features))
	for i, name := range features {
		list[i] = object{"ServerFeature", fields{"name": name, "isEnabled": true}}
	}
	return object{"ServerInfo", fields{
		// High enough that no client thinks itself too new.
		"cliVersionInfo":         json.RawMessage(`{"max_cli_version":"99.0.0","latest_cli_version":"0.0.0","min_cli_version":"0.0.0"}`),
		"latestLocalVersionInfo": nil,
		"features":               list,
	}}, nil
}

// types tells clients before 0.27 what they may ask for: they look before they
// send. Of those named here, inputs have input fields and others have fields;
// any other type is null.
func (s *service) types() map[string][]string {
	return map[string][]string{
		"Query":                       names(s.queries),
		"Mutation":                    names(s.mutations),
		"ServerInfo":                  {"cliVersionInfo", "latestLocalVersionInfo", "features"},
		"ServerSettings":              {},
		"Organization":                {"orgEntity"},
		"Run":                         {"projectId"},
		"Project":                     {"artifact"},
		"Artifact":                    {"aliases", "tags", "historyStep", "ttlDurationSeconds", "ttlIsInherited"},
		"CreateArtifactInput":         {"historyStep", "clientID", "sequenceClientID", "enableDigestDeduplication", "ttlDurationSeconds", "tags"},
		"UseArtifactInput":            {"usedAs"},
		"AddAliasesInput":             {"artifactID", "aliases"},
		"DeleteFilesInput":            {"files", "projectId"},
		"CreateArtifactFileSpecInput": {"artifactID", "name", "md5", "mimetype", "artifactManifestID", "uploadPartsInput"},
	}
}

// arguments of fields, where clients look at them.
var fieldArguments = map[string][]string{"Project.artifact": {"name", "enableTracking"}}

func (s *service) introspect(_ *call, a *args) (any, error) {
	name := a.Need("name")
	if err := a.Err(); err != nil {
		return nil, err
	}
	list, ok := s.types()[name]
	if !ok {
		return nil, nil
	}
	members := make([]object, len(list))
	for i, field := range list {
		var arguments []object
		for _, x := range fieldArguments[name+"."+field] {
			arguments = append(arguments, object{"__InputValue", fields{"name": x}})
		}
		if arguments == nil {
			arguments = []object{}
		}
		members[i] = object{"__Field", fields{"name": field, "args": arguments}}
	}
	t := object{"__Type", fields{"name": name, "fields": nil, "inputFields": nil}}
	if strings.HasSuffix(name, "Input") {
		t.fields["inputFields"] = members
	} else {
		t.fields["fields"] = members
	}
	return t, nil
}

func names(m map[string]root) []string {
	list := make([]string, 0, len(m))
	for name := range m {
		if !strings.HasPrefix(name, "__") {
			list = append(list, name)
		}
	}
	slices.Sort(list) // the same answer every time
	return list
}
