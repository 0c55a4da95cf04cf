// The table of what was spent. A process that is killed under the lock leaves at most the rows of
// one request half booked: rows and their index are written so that the next one finds them whole.
#include "ngx_llm_module/state/spend.hpp"

#include <openssl/rand.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include "ngx_llm_module/state/series.hpp"
#include "ngx_llm_module/state/state_file.hpp"
#include "ngx_llm_module/state/zone.hpp"
#include "ngx_llm_module/state/zone_lock.hpp"

namespace llm {

namespace {

constexpr std::string_view kOther = "other";
constexpr std::string_view kShareLine = "table\t";
constexpr int64_t kSecondsOfDay = 86400;
constexpr uint32_t kPiece = 128;  // rows that are copied under one lock
// An eighth of the zone is theirs; the index takes less than 16 bytes for each.
constexpr size_t kZoneOfRow = 8 * (sizeof(SpendRow) + 16);

SpendPart *part = nullptr;
ngx_slab_pool_t *pool = nullptr;

// `to` has room for kSpendName bytes.
uint8_t keep_name(std::string_view name, char *to) {
    uint8_t size = 0;
    for (char c : name.substr(0, kSpendName)) {
        to[size++] = static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    }
    return size;
}

struct Wanted {
    uint32_t day;
    SpendOf of;
    uint8_t size = 0;
    char name[kSpendName];
    uint32_t name_hash;
    uint32_t hash;

    Wanted(uint32_t on, SpendOf what, std::string_view text) : of(what) {
        size = keep_name(text, name);
        name_hash = hash_of({name, size});
        set_day(on);
    }

    void set_day(uint32_t on) {
        day = on;
        hash = name_hash * 31 + day * 8 + uint32_t(of);
    }

    bool is(const SpendRow &row) const {
        return row.day == day && row.of == of && row.view() == std::string_view(name, size);
    }
};

uint32_t &place_of(SpendPart &in, const Wanted &wanted) {
    uint32_t place = wanted.hash & in.mask;
    for (;;) {
        uint32_t number = in.index[place];
        if (number == 0 || number > in.count || wanted.is(in.rows[number - 1])) {
            return in.index[place];
        }
        place = (place + 1) & in.mask;
    }
}

void rebuild(SpendPart &in) {
    in.is_rebuilding = 1;
    in.free_names = 0;
    std::fill_n(in.index, in.mask + 1, 0);
    for (uint32_t i = 0; i < in.count; i++) {
        const SpendRow &row = in.rows[i];
        in.free_names += is_chosen_by_client(row.of, row.view()) ? 1 : 0;
        place_of(in, Wanted(row.day, row.of, row.view())) = i + 1;
    }
    in.is_rebuilding = 0;
    in.moves++;
}

// Makes room: the oldest day goes, or only what clients chose of it; but never `today`.
bool drop_oldest(SpendPart &in, uint32_t today, bool of_clients) {
    auto may_go = [&](const SpendRow &row) {
        return row.day != kAllDays && (!of_clients || is_chosen_by_client(row.of, row.view()));
    };
    uint32_t oldest = today;
    for (uint32_t i = 0; i < in.count; i++) {
        if (may_go(in.rows[i])) {
            oldest = std::min(oldest, in.rows[i].day);
        }
    }
    if (oldest == today) {
        return false;
    }
    in.is_rebuilding = 1;
    SpendRow *end = std::remove_if(in.rows, in.rows + in.count, [&](const SpendRow &row) {
        return row.day == oldest && may_go(row);
    });
    in.count = uint32_t(end - in.rows);
    rebuild(in);
    return true;
}

// Null: there is no room. Names that are many leave an eighth for sums of few, those of clients a
// half for all others.
SpendRow *find_or_add(SpendPart &in, const Wanted &wanted, uint32_t today) {
    if (in.is_rebuilding != 0) {
        rebuild(in);
    }
    uint32_t *place = &place_of(in, wanted);
    if (*place != 0 && *place <= in.count) {
        return &in.rows[*place - 1];
    }
    std::string_view name(wanted.name, wanted.size);
    bool is_few = wanted.of == SpendOf::all || wanted.of == SpendOf::provider || name == kOther;
    bool is_of_client = is_chosen_by_client(wanted.of, name);
    uint32_t most = is_few ? in.capacity : in.capacity - in.capacity / 8;
    bool is_share_used = is_of_client && in.free_names >= in.capacity / 2;
    if (is_share_used || in.count >= most) {
        if (!drop_oldest(in, today, is_share_used)) {
            return nullptr;
        }
        place = &place_of(in, wanted);
    }
    SpendRow &row = in.rows[in.count];
    row = {};
    row.day = wanted.day;
    row.of = wanted.of;
    row.size = wanted.size;
    ngx_memcpy(row.name, wanted.name, wanted.size);
    *place = in.count + 1;
    in.count++;
    in.free_names += is_of_client ? 1 : 0;
    return &row;
}

bool has_row(SpendPart &in, const Wanted &wanted) {
    if (in.is_rebuilding != 0) {
        rebuild(in);
    }
    uint32_t number = place_of(in, wanted);
    return number != 0 && number <= in.count;
}

// False: it is counted as `other`.
bool book_one(SpendPart &in, const Wanted &wanted, uint32_t today, const SpendNumbers &numbers) {
    SpendRow *row = find_or_add(in, wanted, today);
    bool has_room = row != nullptr;
    if (!has_room) {
        row = find_or_add(in, Wanted(wanted.day, wanted.of, kOther), today);
    }
    if (row != nullptr) {
        row->numbers.add(numbers);
        row->changed = in.generation.load() + 1;
    }
    return has_room;
}

void warn_of_other(SpendOf of) {
    static constexpr const char *kWhat[] = {"all",  "keys",   "teams",     "users", "customers",
                                            "tags", "models", "providers", "models"};
    static_assert(std::size(kWhat) == size_t(SpendOf::count));
    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "llm: the table of what was spent is full, further %s are counted as \"other\" "
                  "(llm_zone); said once a day",
                  kWhat[size_t(of)]);
}

// Two tables that were made in the same moment, at whatever machines, have different ones.
void make_id(SpendShare &share) {
    unsigned char bytes[16];
    if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
        for (unsigned char &byte : bytes) {
            byte = static_cast<unsigned char>(ngx_random());
        }
    }
    *ngx_hex_dump(reinterpret_cast<u_char *>(share.id), bytes, sizeof(bytes)) = '\0';
}

// Calls `begin`, then `take` for piece after piece of all rows; all of that again when rows moved
// between two pieces.
template <class Begin, class Take>
void read_pieces(const Config &config, Begin begin, Take take) {
    SpendPart *from = spend_part(config);
    ngx_slab_pool_t *of = zone_pool(config);
    if (from == nullptr) {
        return;
    }
    std::vector<SpendRow> piece;
    piece.reserve(kPiece);
    uint32_t seen = 0;
    uint64_t moves = 0;
    for (bool is_begun = false;;) {
        {
            ZoneLock lock(of);
            if (moves != from->moves) {
                is_begun = false;
            }
            if (!is_begun) {
                moves = from->moves;
                seen = 0;
            }
            uint32_t last = std::min(from->count, seen + kPiece);
            piece.assign(from->rows + seen, from->rows + std::max(seen, last));
        }
        if (!is_begun) {
            begin();
            is_begun = true;
        }
        if (piece.empty()) {
            return;
        }
        take(std::span<const SpendRow>(piece));
        seen += uint32_t(piece.size());
    }
}

// "123\t" at the begin of `text`, taken away.
template <class Number>
bool take_number(std::string_view &text, Number &number) {
    auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (wrong != std::errc() || end == text.data() + text.size() || *end != '\t') {
        return false;
    }
    text.remove_prefix(size_t(end - text.data()) + 1);
    return true;
}

}  // namespace

bool is_chosen_by_client(SpendOf of, std::string_view name) {
    bool is_free = of == SpendOf::customer || of == SpendOf::tag || of == SpendOf::free_model;
    return is_free && name != kOther;
}

size_t zone_size_for_spend(size_t names) {
    size_t capacity = (2 * names * 8 + 6) / 7;  // names leave an eighth
    return capacity * kZoneOfRow;
}

bool init_spend(void *part, ngx_slab_pool_t *pool, size_t zone_size) {
    SpendPart &made = *static_cast<SpendPart *>(part);
    auto capacity = std::max(uint32_t(zone_size / kZoneOfRow), uint32_t(64));
    auto ring =
        std::clamp(uint32_t(zone_size / 32 / sizeof(RecentRequest)), uint32_t(16), uint32_t(1000));
    uint32_t places = 64;
    while (places < capacity * 2) {
        places *= 2;
    }
    auto alloc = [&](size_t count, size_t size) { return ngx_slab_calloc(pool, count * size); };
    made.rows = static_cast<SpendRow *>(alloc(capacity, sizeof(SpendRow)));
    made.index = static_cast<uint32_t *>(alloc(places, sizeof(uint32_t)));
    made.ring = static_cast<RecentRequest *>(alloc(ring, sizeof(RecentRequest)));
    if (made.rows == nullptr || made.index == nullptr || made.ring == nullptr) {
        return false;
    }
    made.capacity = capacity;
    made.mask = places - 1;
    made.ring_size = ring;
    make_id(made.share);
    return true;
}

// Also in a process that is no worker.
SpendPart *spend_part(const Config &config) {
    return zone_part<SpendPart>(config, ZonePart::spend);
}

void SpendNumbers::add(const SpendNumbers &other) {
    for (auto field : kSpendFields) {
        this->*field += other.*field;
    }
}

void open_spend(const Config &config) {
    part = spend_part(config);
    pool = zone_pool(config);
}

void book_spend(std::span<const SpendName> names, const SpendNumbers &numbers,
                const RecentRequest &recent) {
    if (part == nullptr) {
        return;
    }
    auto today = uint32_t(ngx_time() / kSecondsOfDay);
    // Hashed before the lock is taken; the room for it is used again.
    static std::vector<Wanted> wanted;
    wanted.clear();
    wanted.emplace_back(kAllDays, SpendOf::all, std::string_view());
    for (const SpendName &name : names) {
        wanted.emplace_back(kAllDays, name.of, name.name);
    }
    auto without_room = SpendOf::count;
    {
        ZoneLock lock(pool);
        for (Wanted &row : wanted) {
            if (row.of == SpendOf::free_model && !numbers.has_delivered() && !has_row(*part, row)) {
                continue;
            }
            bool has_room = book_one(*part, row, today, numbers);
            row.set_day(today);
            has_room = book_one(*part, row, today, numbers) && has_room;
            if (!has_room && part->told != today) {
                part->told = today;
                without_room = row.of;
            }
        }
        part->ring[part->ring_next % part->ring_size] = recent;
        part->ring_next++;
        part->generation.fetch_add(1);
    }
    if (without_room != SpendOf::count) {
        warn_of_other(without_room);
    }
}

std::vector<SpendRow> read_spend(const Config &config, uint64_t since) {
    std::vector<SpendRow> rows;
    read_pieces(
        config, [&] { rows.clear(); },
        [&](std::span<const SpendRow> piece) {
            std::copy_if(piece.begin(), piece.end(), std::back_inserter(rows),
                         [since](const SpendRow &row) { return row.changed > since; });
        });
    return rows;
}

std::vector<RecentRequest> read_recent(const Config &config, size_t most) {
    std::vector<RecentRequest> list;
    SpendPart *from = spend_part(config);
    ngx_slab_pool_t *of = zone_pool(config);
    if (from == nullptr) {
        return list;
    }
    most = std::min(most, size_t(from->ring_size));
    list.reserve(most);
    uint64_t next = 0;
    {
        ZoneLock lock(of);
        next = from->ring_next;
    }
    while (list.size() < most && list.size() < next) {
        ZoneLock lock(of);
        for (uint32_t i = 0; i < kPiece / 8 && list.size() < most && list.size() < next; i++) {
            list.push_back(from->ring[(next - 1 - list.size()) % from->ring_size]);
        }
    }
    return list;
}

SpendNumbers spent(const Config &config, SpendOf of, std::string_view name, uint32_t day) {
    SpendPart *from = spend_part(config);
    if (from == nullptr) {
        return {};
    }
    Wanted wanted(day, of, name);
    ZoneLock lock(zone_pool(config));
    if (from->is_rebuilding != 0) {
        rebuild(*from);
    }
    uint32_t number = place_of(*from, wanted);
    return number != 0 && number <= from->count ? from->rows[number - 1].numbers : SpendNumbers();
}

std::string kept_name(std::string_view name) {
    char text[kSpendName];
    return {text, keep_name(name, text)};
}

bool has_own_rows(std::string_view name) {
    return name != kOther && kept_name(name) == name;
}

void set_epoch(const Config &config, std::string_view epoch) {
    if (SpendPart *to = spend_part(config)) {
        ZoneLock lock(zone_pool(config));
        set_text(to->share.epoch, epoch);
        to->generation.fetch_add(1);  // it is saved, too
    }
}

uint64_t spend_generation(const Config &config) {
    SpendPart *from = spend_part(config);
    return from != nullptr ? from->generation.load() : 0;
}

// Lines: day, what, seven numbers, name, with tabs between them; before them the table's own name,
// for it goes on being the same one.
void save_spend(const Config &config, StateWriter &out) {
    std::string text;
    auto begin = [&] {
        out.restart();
        SpendPart *from = spend_part(config);
        ZoneLock lock(zone_pool(config));
        text.assign(kShareLine).append(text_of(from->share.id)).append("\t");
        text.append(text_of(from->share.epoch)).append("\n");
    };
    read_pieces(config, begin, [&](std::span<const SpendRow> piece) {
        for (const SpendRow &row : piece) {
            text.append(std::to_string(row.day)).append("\t");
            text.append(std::to_string(int(row.of))).append("\t");
            for (auto field : kSpendFields) {
                text.append(std::to_string(row.numbers.*field)).append("\t");
            }
            text.append(row.view()).append("\n");
        }
        out.append(text);
        text.clear();
    });
    out.append(text);  // of a table without rows
}

bool load_spend(const Config &config, std::string_view text) {
    SpendPart *to = spend_part(config);
    auto today = uint32_t(ngx_time() / kSecondsOfDay);
    ZoneLock lock(zone_pool(config));
    while (!text.empty()) {
        std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        if (line.starts_with(kShareLine)) {
            line.remove_prefix(kShareLine.size());
            size_t tab = line.find('\t');
            if (tab == 0 || tab == std::string_view::npos) {
                return false;
            }
            set_text(to->share.id, line.substr(0, tab));
            set_text(to->share.epoch, line.substr(tab + 1));
            continue;
        }
        uint32_t day = 0;
        int of = 0;
        SpendNumbers numbers;
        if (!take_number(line, day) || !take_number(line, of) || of < 0 ||
            of >= int(SpendOf::count)) {
            return false;
        }
        for (auto field : kSpendFields) {
            if (!take_number(line, numbers.*field)) {
                return false;
            }
        }
        book_one(*to, Wanted(day, SpendOf(of), line), today, numbers);
    }
    to->generation.fetch_add(1);
    return true;
}

}  // namespace llm
