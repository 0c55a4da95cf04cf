// Finds a dialect by id or by name. dialects.def lists them; a further dialect is a row there, an
// id in DialectId and its own family of files.
// Invariant: dialect() gives a table for every id; find_dialect knows exact names only.
#include "translators/dialect/dialect.hpp"

namespace llm {

const Dialect &dialect(DialectId id) {
    switch (id) {
#define LLM_DIALECT(name, table) \
    case DialectId::name:        \
        return table;
#include "translators/dialect/dialects.def"
#undef LLM_DIALECT
    }
    return kOpenAi;  // an id that is none was cast from elsewhere
}

const Dialect *find_dialect(std::string_view name) {
    for (DialectId id : {
#define LLM_DIALECT(dialect_id, table) DialectId::dialect_id,
#include "translators/dialect/dialects.def"
#undef LLM_DIALECT
         }) {
        if (dialect(id).name == name) {
            return &dialect(id);
        }
    }
    return nullptr;
}

}  // namespace llm
