//! Where things are in a plan, looked up once: in a large fleet it takes longer than to judge them.

use refit_model::{ActionId, ClusterName, Edge, Plan};

/// The places of a plan's actions. A place is an action's index; there are fewer than four billion.
pub(crate) struct Index<'a> {
    /// The clusters that have actions, by name, each with the places of its actions, ascending.
    pub(crate) clusters: Vec<OfCluster<'a>>,
    /// By place, which of the clusters it is of; none: of no cluster.
    pub(crate) cluster_of: Vec<Option<u32>>,
    /// By edge, the places of its ends; none: one of them does not exist.
    pub(crate) ends: Vec<Option<(u32, u32)>>,
    /// By place of an action, those that wait for it.
    pub(crate) next: Lists<u32>,
    /// By edge of those that follow from others, the places of its ends.
    pub(crate) implied_ends: Vec<Option<(u32, u32)>>,
    /// By place of an action, the place of each that waits for it by such an edge, and which edge.
    pub(crate) implied: Lists<(u32, u32)>,
}

/// A cluster and the places of its actions.
type OfCluster<'a> = (&'a ClusterName, Vec<u32>);

impl<'a> Index<'a> {
    pub(crate) fn of(plan: &'a Plan) -> Self {
        let (clusters, cluster_of) = by_cluster(plan);
        // The actions themselves are far apart.
        let ids: Vec<ActionId> = plan.actions.iter().map(|action| action.id).collect();
        let places = Places::of(&ids);
        let count = plan.actions.len();
        let [kept, implied] = [&plan.edges, &plan.implied].map(|edges| ends(&places, edges));
        let of_implied = implied.iter().zip(0..);
        let of_implied = of_implied.filter_map(|(ends, edge)| ends.map(|(f, t)| (f, (t, edge))));
        Self {
            clusters,
            cluster_of,
            next: Lists::of(count, kept.iter().flatten().copied()),
            ends: kept,
            implied: Lists::of(count, of_implied),
            implied_ends: implied,
        }
    }

    /// The places of a cluster's actions.
    pub(crate) fn of_cluster(&self, name: &ClusterName) -> &[u32] {
        let found = self.clusters.binary_search_by_key(&name, |(name, _)| *name);
        found.map_or(&[], |at| &self.clusters[at].1)
    }
}

/// The places of ids, found by their first digits: in a large plan they are too many for a search
/// among all of them to stay near the processor.
struct Places<'a> {
    /// Ascending.
    ids: &'a [ActionId],
    /// By the first digits of an id, where those with them begin, and where the last of them end.
    /// Empty: there are few, or there is one without such digits.
    begins: Vec<u32>,
}

impl<'a> Places<'a> {
    /// As many as there are numbers of four hexadecimal digits.
    const COUNT: usize = 1 << 16;
    /// Fewer are near enough.
    const MANY: usize = 1 << 12;

    fn of(ids: &'a [ActionId]) -> Self {
        let begins = || {
            let mut begins = vec![0_u32; Self::COUNT + 1];
            for id in ids {
                begins[first_digits(id)? + 1] += 1;
            }
            for next in 1..begins.len() {
                begins[next] += begins[next - 1];
            }
            Some(begins)
        };
        let begins = (ids.len() >= Self::MANY).then(begins).flatten();
        Self { ids, begins: begins.unwrap_or_default() }
    }

    fn get(&self, id: &ActionId) -> Option<usize> {
        let range = match first_digits(id) {
            _ if self.begins.is_empty() => 0..self.ids.len(),
            Some(digits) => at(self.begins[digits])..at(self.begins[digits + 1]),
            None => return None,
        };
        let first = range.start;
        Some(first + self.ids[range].binary_search(id).ok()?)
    }
}

/// The first four digits of an id as a number. Ids of ascending texts have ascending numbers.
fn first_digits(id: &ActionId) -> Option<usize> {
    let digit = |number: usize, byte: &u8| match byte {
        b'0'..=b'9' => Some(16 * number + usize::from(byte - b'0')),
        b'a'..=b'f' => Some(16 * number + 10 + usize::from(byte - b'a')),
        _ => None,
    };
    id.as_str().as_bytes().first_chunk::<4>()?.iter().try_fold(0, digit)
}

/// The places of the ends of edges; none where one of them does not exist.
fn ends(ids: &Places<'_>, edges: &[Edge]) -> Vec<Option<(u32, u32)>> {
    /// Edges are ordered by where they begin, so the next one begins near.
    const NEAR: usize = 4;
    let mut last = 0;
    let mut begin = |id: &ActionId| {
        let near = ids.ids[last..].iter().take(NEAR).position(|other| other == id);
        last = near.map(|steps| last + steps).or_else(|| ids.get(id))?;
        Some(last)
    };
    let place = |place: usize| u32::try_from(place).ok();
    let both = |edge: &Edge| Some((place(begin(&edge.from)?)?, place(ids.get(&edge.to)?)?));
    edges.iter().map(both).collect()
}

/// The clusters of actions by name, and by action which of them it is of.
fn by_cluster(plan: &Plan) -> (Vec<OfCluster<'_>>, Vec<Option<u32>>) {
    let named = plan.actions.iter().zip(0..);
    let named = named.filter_map(|(action, place)| Some((action.cluster.as_ref()?, place)));
    let mut own: Vec<(u64, &ClusterName, u32)> = Vec::with_capacity(plan.actions.len());
    own.extend(named.map(|(name, place)| (name.tail(), name, place)));
    own.sort_unstable_by_key(|(tail, _, place)| (*tail, *place));
    let mut clusters: Vec<OfCluster<'_>> = Vec::new();
    for alike in own.chunk_by_mut(|(one, ..), (other, ..)| one == other) {
        alike.sort_by_key(|(_, name, _)| *name);
        for of_one in alike.chunk_by(|(_, one, _), (_, other, _)| one == other) {
            let places = of_one.iter().map(|(.., place)| *place).collect();
            clusters.extend(of_one.first().map(|(_, name, _)| (*name, places)));
        }
    }
    clusters.sort_unstable_by_key(|(name, _)| *name);
    let mut cluster_of = vec![None; plan.actions.len()];
    for ((_, places), number) in clusters.iter().zip(0..) {
        for place in places {
            cluster_of[at(*place)] = Some(number);
        }
    }
    (clusters, cluster_of)
}

/// A place as an index.
pub(crate) fn at(place: u32) -> usize {
    usize::try_from(place).expect("this runs on 32 bits and more")
}

/// Short lists, one after the other.
pub(crate) struct Lists<T> {
    /// Where each begins, and where the last one ends.
    begins: Vec<u32>,
    items: Vec<T>,
}

impl<T: Copy + Default> Lists<T> {
    /// So many lists of items, each with the list that it belongs to, in their order.
    pub(crate) fn of(count: usize, items: impl Iterator<Item = (u32, T)> + Clone) -> Self {
        let mut begins = vec![0_u32; count + 1];
        for (list, _) in items.clone() {
            begins[at(list) + 1] += 1;
        }
        for list in 0..count {
            begins[list + 1] += begins[list];
        }
        let mut ends = begins.clone();
        let mut sorted = vec![T::default(); at(begins[count])];
        for (list, item) in items {
            let end = &mut ends[at(list)];
            sorted[at(*end)] = item;
            *end += 1;
        }
        Self { begins, items: sorted }
    }

    /// The items of a list.
    pub(crate) fn get(&self, list: usize) -> &[T] {
        &self.items[at(self.begins[list])..at(self.begins[list + 1])]
    }

    /// The items of all lists.
    pub(crate) fn items(&self) -> &[T] {
        &self.items
    }

    /// How many lists there are.
    pub(crate) fn len(&self) -> usize {
        self.begins.len() - 1
    }
}
