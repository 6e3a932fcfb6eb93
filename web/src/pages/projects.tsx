import { Anchor, Table, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { ask, path } from "../api/client";
import { moment, number } from "../format";
import { useSpeech } from "../i18n";
import { Failed, Loading } from "../parts/status";

interface Project {
  name: string;
  runs: number;
  running: number;
  artifacts: number;
  updated: string | null;
}

export function Projects() {
  const { t, language } = useSpeech();
  const q = useQuery({
    queryKey: ["projects"],
    queryFn: ({ signal }) => ask<Project[]>("GET", path(["workspaces", "default", "projects"]), undefined, signal),
  });
  if (q.isPending) return <Loading />;
  if (q.isError) return <Failed error={q.error} retry={() => void q.refetch()} />;
  return (
    <>
      <Title order={1} mb="sm">
        {t("app.projects")}
      </Title>
      <Table highlightOnHover>
        <Table.Tbody>
          {q.data.map((p) => (
            <Table.Tr key={p.name}>
              <Table.Td>
                <Anchor href={`/p/${p.name}`}>{p.name}</Anchor>
              </Table.Td>
              <Table.Td ta="right">{number(p.runs, language)}</Table.Td>
              <Table.Td>{moment(p.updated, language)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </>
  );
}
