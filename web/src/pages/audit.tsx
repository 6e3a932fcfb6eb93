import { useT } from "../i18n";
import { PageHead, usePageTitle } from "../parts/page";

export function Audit() {
  const t = useT();
  usePageTitle(t("audit.title"));
  return <PageHead title={t("audit.title")} />;
}
