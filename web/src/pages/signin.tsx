import { useT } from "../i18n";
import { PageHead, usePageTitle } from "../parts/page";

export function SignIn() {
  const t = useT();
  usePageTitle(t("signin.title"));
  return <PageHead title={t("signin.title")} />;
}
