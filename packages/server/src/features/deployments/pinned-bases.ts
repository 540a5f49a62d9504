// Which bases stay in memory: those that the settings name and those of pinned deployments. Told to the
// engines at the start and after each change of names.
import type { Db } from '../../db/database.ts';
import type { Engines } from '../../engines/engine-supervisor.ts';
import { modelsStore } from '../models/index.ts';
import { deploymentsStore } from './deployments-store.ts';

export interface PinnedBasesDependencies {
  readonly db: Db;
  readonly engines: Pick<Engines, 'pin'>;
  /** Ids of models; adapters stand for their base. */
  readonly pinned: readonly string[];
  /** A name that stands for nothing that can be served. */
  readonly onUnknownPin?: (id: string) => void;
}

export interface PinnedBases {
  refresh(): Promise<void>;
}

export function createPinnedBases(deps: PinnedBasesDependencies): PinnedBases {
  const { db, engines, pinned, onUnknownPin } = deps;
  return {
    async refresh() {
      const deployed = await deploymentsStore.pinnedModels(db);
      const bases = await modelsStore.servedBases(db, [...pinned, ...deployed]);
      for (const id of pinned) if (!bases.has(id)) onUnknownPin?.(id);
      const each = new Map([...bases.values()].map((base) => [base.id, base]));
      engines.pin([...each.values()]);
    },
  };
}
