import { useT } from "../i18n";
import { PageHead, usePageTitle } from "../parts/page";

export function RunPage() {
  const t = useT();
  usePageTitle(t("app.runs"));
  return <PageHead title={t("app.runs")} />;
}
