import { ActionIcon, Anchor, AppShell, Group, Menu, Text, useMantineColorScheme, type MantineColorScheme } from "@mantine/core";
import { IconDeviceDesktop, IconLanguage, IconMoon, IconSun } from "@tabler/icons-react";
import { Link, Outlet } from "@tanstack/react-router";
import { useSpeech, type Language } from "./i18n";

const languages: { code: Language; name: string }[] = [
  { code: "en", name: "English" },
  { code: "es", name: "Español" },
];

/** The frame of every page: who we are, where to go, light and language. */
export function Shell() {
  const { t, language, setLanguage } = useSpeech();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const schemes: { value: MantineColorScheme; text: string; icon: typeof IconSun }[] = [
    { value: "light", text: t("app.theme.light"), icon: IconSun },
    { value: "dark", text: t("app.theme.dark"), icon: IconMoon },
    { value: "auto", text: t("app.theme.auto"), icon: IconDeviceDesktop },
  ];
  const Scheme = schemes.find((s) => s.value === colorScheme)?.icon ?? IconSun;
  return (
    <AppShell header={{ height: 48 }} padding="md">
      <a href="#main" className="skip">
        {t("app.skip")}
      </a>
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Anchor component={Link} to="/" underline="never" c="inherit">
            <Group gap={8} wrap="nowrap">
              <img src="/icon.svg" width={24} height={24} alt="" />
              <Text fw={700}>Solera</Text>
            </Group>
          </Anchor>
          <Group gap={4} wrap="nowrap">
            <Menu>
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
            <Menu>
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
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Main id="main">
        <Outlet />
      </AppShell.Main>
    </AppShell>
  );
}
