import { useT } from "../i18n";
import { PageHead, usePageTitle } from "../parts/page";

export function Lineage() {
  const t = useT();
  usePageTitle(t("lineage.title"));
  return <PageHead title={t("lineage.title")} />;
}
