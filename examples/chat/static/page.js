// The page's room and person, and its storage for data that must survive a reload.
export const byId = (id) => document.getElementById(id)

export const settings = JSON.parse(document.body.dataset.settings)
export const { room } = settings
export const me = { id: settings.id, name: settings.name }

export const pathOf = (name) => `${settings.base}/room/${encodeURIComponent(name)}`

// The options of every connection of this page: a frame of /two identifies its person by a token.
export const identity = settings.token ? { auth: () => settings.token } : {}

/** A value in `storage` (this tab's or the browser's), for this person: `load()`, and `save(value)`. */
export const kept = (storage, name, empty) => {
  const key = `chat:${me.id}:${name}`
  return {
    key,
    load() {
      try {
        return JSON.parse(storage.getItem(key)) ?? empty
      } catch {
        return empty
      }
    },
    save(value) {
      try {
        if (value === '' || value?.length === 0) storage.removeItem(key)
        else storage.setItem(key, JSON.stringify(value))
      } catch {
        // The storage is full or forbidden: then the data is lost on a reload.
      }
    },
  }
}
