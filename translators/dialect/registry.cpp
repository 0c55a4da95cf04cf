// Finds a dialect by id or by name. dialects.def lists them; a further dialect is a row there, an
// id in DialectId and its own family of files.
// Invariant: dialect() gives a table for every id; find_dialect knows exact names only.
#include "translators/dialect/dialect.hpp"

namespace llm {

namespace {

constexpr const Dialect *kDialects[] = {
#define LLM_DIALECT(id, table) &table,
#include "translators/dialect/dialects.def"
#undef LLM_DIALECT
};

}  // namespace

std::span<const Dialect *const> dialects() {
    return kDialects;
}

const Dialect &dialect(DialectId id) {
    for (const Dialect *known : kDialects) {
        if (known->id == id) {
            return *known;
        }
    }
    return kOpenAi;  // an id that is none was cast from elsewhere
}

const Dialect *find_dialect(std::string_view name) {
    for (const Dialect *known : kDialects) {
        if (known->name == name) {
            return known;
        }
    }
    return nullptr;
}

}  // namespace llm
