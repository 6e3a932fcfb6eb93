import { Anchor } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { useT } from "../i18n";
import { Empty } from "../parts/status";

export function Missing() {
  const t = useT();
  return (
    <Empty title={t("app.notFound")}>
      <Anchor component={Link} to="/">
        {t("app.home")}
      </Anchor>
    </Empty>
  );
}
