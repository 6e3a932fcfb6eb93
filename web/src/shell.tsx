import {
  ActionIcon, Anchor, AppShell, Badge, Burger, Button, Divider, Drawer, Group, Menu, NavLink, Stack, Text, TextInput,
  useComputedColorScheme, useMantineColorScheme, type MantineColorScheme,
} from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import {
  IconAdjustmentsSearch, IconBox, IconCheck, IconChevronDown, IconDeviceDesktop, IconFolders, IconHistory, IconKeyboard, IconLanguage, IconLogin2, IconLogout,
  IconMoon, IconSun, IconTable, IconUser, IconUsersGroup,
} from "@tabler/icons-react";
import { CatchBoundary, Link, Outlet, useLocation, useNavigate, useParams } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { addressOf, ApiError, base, useProjects, useSession, useSignOut, workspace } from "./api";
import { useSpeech, type Key, type Language } from "./i18n";
import { PageFault } from "./parts/fault";
import { LinkButton, LinkItem, LinkPlace } from "./parts/link";
import { Keys } from "./parts/keys";
import css from "./shell.module.css";

const languages: { code: Language; name: string }[] = [
  { code: "en", name: "English" },
  { code: "es", name: "Español" },
];

const places = [
  { to: "/p/$project", text: "app.runs", icon: IconTable },
  { to: "/p/$project/sweeps", text: "app.sweeps", icon: IconAdjustmentsSearch },
  { to: "/p/$project/artifacts", text: "app.artifacts", icon: IconBox },
  { to: "/p/$project/audit", text: "app.audit", icon: IconHistory },
] as const satisfies { to: string; text: Key; icon: typeof IconTable }[];

// Which of the places a path belongs to: pages of a run are under Runs, and
// what concerns versions is under Artifacts.
export function placeIn(pathname: string): (typeof places)[number]["to"] | undefined {
  const part = /^\/p\/[^/]+(?:\/([^/]+))?/.exec(pathname);
  if (!part) return undefined;
  switch (part[1]) {
    case undefined:
    case "runs":
    case "compare":
      return "/p/$project";
    case "sweeps":
      return "/p/$project/sweeps";
    case "artifacts":
    case "diff":
    case "lineage":
      return "/p/$project/artifacts";
    case "audit":
      return "/p/$project/audit";
  }
  return undefined;
}

/** The frame of every page: who we are, where to go, light and language. */
export function Shell() {
  const { t } = useSpeech();
  const { setColorScheme } = useMantineColorScheme();
  const dark = useComputedColorScheme("light") === "dark";
  const { pathname } = useLocation();
  const { project } = useParams({ strict: false });
  const [menu, { toggle, close }] = useDisclosure(false);
  const [keys, setKeys] = useState(false);
  const session = useSession();
  const navigate = useNavigate();
  const here = placeIn(pathname);

  // Who must sign in is sent to do so, and comes back after.
  const refused = session.error instanceof ApiError && session.error.status === 401;
  const stranger = refused || (session.data !== undefined && !session.data.open && session.data.user === null);
  useEffect(() => {
    if (stranger && pathname !== "/signin") void navigate({ to: "/signin", search: { back: location.pathname + location.search }, replace: true });
  }, [stranger, pathname, navigate]);
  useEffect(close, [pathname, close]);

  // Who has no role in the workspace that the bare address means is sent to the
  // first where there is one.
  const workspaces = (session.data?.workspaces ?? []).map((w) => w.name);
  const other = pathname === "/" && base === "" && !workspaces.includes(workspace) ? workspaces[0] : undefined;
  useEffect(() => {
    if (other !== undefined) location.replace(addressOf(other));
  }, [other]);

  const signing = pathname === "/signin";
  return (
    <AppShell header={{ height: 48 }} padding={0}>
      <a href="#main" className="skip">
        {t("app.skip")}
      </a>
      <AppShell.Header>
        <Group h="100%" px={{ base: "xs", sm: "md" }} gap="xs" wrap="nowrap">
          {!signing && <Burger opened={menu} onClick={toggle} size="sm" hiddenFrom="sm" aria-label={t("app.menu")} aria-expanded={menu} />}
          <Anchor component={Link} to="/" underline="never" c="inherit" className={css.logo} aria-label="Solera">
            <img src="/icon.svg" width={24} height={24} alt="" />
            <Text fw={700} visibleFrom={project ? "sm" : "xs"} component="span">
              Solera
            </Text>
          </Anchor>
          {!signing && <WorkspaceMenu workspaces={workspaces} />}
          {!signing && <ProjectMenu project={project} />}
          {project !== undefined && (
            <Group component="nav" aria-label={t("app.navigation")} gap={2} visibleFrom="sm" wrap="nowrap" h="100%" ml="sm">
              {places.map((p) => (
                <Link key={p.to} to={p.to} params={{ project }} search={{}} activeOptions={{ exact: true }} className={css.tab} aria-current={here === p.to ? "page" : undefined}>
                  {t(p.text)}
                </Link>
              ))}
            </Group>
          )}
          <Group gap={4} wrap="nowrap" ml="auto">
            <ActionIcon variant="subtle" color="gray" aria-label={t("app.keys")} onClick={() => setKeys(true)} visibleFrom="sm">
              <IconKeyboard size={18} />
            </ActionIcon>
            <LanguageMenu />
            <ThemeMenu />
            <AccountMenu />
          </Group>
        </Group>
      </AppShell.Header>
      <Drawer opened={menu} onClose={close} size="xs" title={project ?? "Solera"} closeButtonProps={{ "aria-label": t("close") }} hiddenFrom="sm">
        <nav aria-label={t("app.navigation")}>
          {workspaces.length > 1 && (
            <>
              {workspaces.map((name) => (
                <NavLink
                  key={name}
                  component="a"
                  href={addressOf(name)}
                  label={name}
                  leftSection={<IconUsersGroup size={18} aria-hidden />}
                  active={name === workspace}
                  aria-current={name === workspace ? "true" : undefined}
                  aria-label={`${t("app.workspace")}: ${name}`}
                />
              ))}
              <Divider my="xs" />
            </>
          )}
          <LinkPlace to="/" label={t("app.allProjects")} leftSection={<IconFolders size={18} />} active={pathname === "/"} />
          {project !== undefined && (
            <>
              <Divider my="xs" />
              {places.map(({ to, text, icon: Icon }) => (
                <LinkPlace
                  key={to}
                  to={to}
                  params={{ project }}
                  search={{}}
                  label={t(text)}
                  leftSection={<Icon size={18} />}
                  active={here === to}
                  aria-current={here === to ? "page" : undefined}
                />
              ))}
            </>
          )}
        </nav>
      </Drawer>
      <Keys project={project} opened={keys} setOpened={setKeys} toggleTheme={() => setColorScheme(dark ? "light" : "dark")} />
      <AppShell.Main id="main" tabIndex={-1} className={css.main}>
        <CatchBoundary getResetKey={() => pathname} errorComponent={PageFault}>
          {(stranger && !signing) || other !== undefined ? null : <Outlet />}
        </CatchBoundary>
      </AppShell.Main>
    </AppShell>
  );
}

/** Other workspaces, where there are any that the user may see. */
function WorkspaceMenu({ workspaces }: { workspaces: string[] }) {
  const { t } = useSpeech();
  if (workspaces.length < 2) return null;
  return (
    <Menu width={240} position="bottom-start" shadow="md">
      <Menu.Target>
        <Button
          variant="subtle"
          color="gray"
          size="compact-md"
          visibleFrom="sm"
          leftSection={<IconUsersGroup size={16} aria-hidden />}
          rightSection={<IconChevronDown size={14} aria-hidden />}
          className={css.project}
          aria-label={`${t("app.workspace")}: ${workspace}`}
        >
          {workspace}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{t("app.workspace")}</Menu.Label>
        <div className={css.list}>
          {workspaces.map((name) => (
            <Menu.Item
              key={name}
              component="a"
              href={addressOf(name)}
              aria-current={name === workspace ? "true" : undefined}
              leftSection={<IconCheck size={14} visibility={name === workspace ? "visible" : "hidden"} aria-hidden />}
            >
              {name}
            </Menu.Item>
          ))}
        </div>
      </Menu.Dropdown>
    </Menu>
  );
}

function ProjectMenu({ project }: { project: string | undefined }) {
  const { t } = useSpeech();
  const [opened, setOpened] = useState(false);
  const [search, setSearch] = useState("");
  const projects = useProjects();
  const all = projects.data ?? [];
  const found = all.filter((p) => p.name.toLowerCase().includes(search.toLowerCase()));
  if (project === undefined) return null;
  return (
    <Menu opened={opened} onChange={setOpened} onClose={() => setSearch("")} width={280} position="bottom-start" shadow="md">
      <Menu.Target>
        <Button variant="default" size="compact-md" rightSection={<IconChevronDown size={14} />} className={css.project} aria-label={`${t("app.project")}: ${project}`}>
          {project}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        {all.length > 8 && (
          <TextInput size="xs" m={4} placeholder={t("search")} aria-label={t("search")} value={search} onChange={(e) => setSearch(e.currentTarget.value)} />
        )}
        <div className={css.list}>
          {found.map((p) => (
            <LinkItem
              key={p.name}
              to="/p/$project"
              params={{ project: p.name }}
              search={{}}
              leftSection={<IconCheck size={14} visibility={p.name === project ? "visible" : "hidden"} aria-hidden />}
              rightSection={
                p.running > 0 ? (
                  <Badge size="xs" color="blue" variant="light" tt="none">
                    {p.running} {t("state.running")}
                  </Badge>
                ) : undefined
              }
            >
              {p.name}
            </LinkItem>
          ))}
        </div>
        <Menu.Divider />
        <LinkItem to="/" leftSection={<IconFolders size={14} />}>
          {t("app.allProjects")}
        </LinkItem>
      </Menu.Dropdown>
    </Menu>
  );
}

function LanguageMenu() {
  const { t, language, setLanguage } = useSpeech();
  return (
    <Menu shadow="md">
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" aria-label={t("app.language")}>
          <IconLanguage size={18} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {languages.map((l) => (
          <Menu.Item key={l.code} lang={l.code} fw={l.code === language ? 700 : 400} onClick={() => setLanguage(l.code)}>
            {l.name}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

function ThemeMenu() {
  const { t } = useSpeech();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const schemes: { value: MantineColorScheme; text: string; icon: typeof IconSun }[] = [
    { value: "light", text: t("app.theme.light"), icon: IconSun },
    { value: "dark", text: t("app.theme.dark"), icon: IconMoon },
    { value: "auto", text: t("app.theme.auto"), icon: IconDeviceDesktop },
  ];
  const Scheme = schemes.find((s) => s.value === colorScheme)?.icon ?? IconSun;
  return (
    <Menu shadow="md">
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" aria-label={t("app.theme")}>
          <Scheme size={18} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {schemes.map(({ value, text, icon: Icon }) => (
          <Menu.Item key={value} leftSection={<Icon size={16} />} fw={value === colorScheme ? 700 : 400} onClick={() => setColorScheme(value)}>
            {text}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

// Who is signed in. On a server of one's own nobody is, and there is nothing
// to show.
function AccountMenu() {
  const { t } = useSpeech();
  const session = useSession().data;
  const signOut = useSignOut();
  const navigate = useNavigate();
  const { pathname } = useLocation();
  if (!session) return null;
  if (!session.user) {
    if (session.open || pathname === "/signin") return null;
    return (
      <LinkButton to="/signin" variant="subtle" size="compact-sm" leftSection={<IconLogin2 size={16} />}>
        {t("app.signIn")}
      </LinkButton>
    );
  }
  const role = session.user.admin ? "admin" : session.workspaces.find((w) => w.name === workspace)?.role;
  return (
    <Menu shadow="md" position="bottom-end">
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" aria-label={`${t("app.account")}: ${session.user.name}`}>
          <IconUser size={18} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Stack gap={0} px="sm" py={6}>
          <Text size="sm" fw={600}>
            {session.user.name}
          </Text>
          {role && (
            <Text size="xs" c="dimmed">
              {t(`role.${role}`)}
            </Text>
          )}
        </Stack>
        <LinkItem to="/account" search={{}} leftSection={<IconUser size={16} />}>
          {t("app.account")}
        </LinkItem>
        <Menu.Divider />
        <Menu.Label>{t("app.version", { version: session.version })}</Menu.Label>
        {!session.open && (
          <Menu.Item
            leftSection={<IconLogout size={16} />}
            onClick={() => signOut.mutate(undefined, { onSuccess: () => void navigate({ to: "/signin", search: {} }) })}
          >
            {t("app.signOut")}
          </Menu.Item>
        )}
      </Menu.Dropdown>
    </Menu>
  );
}
