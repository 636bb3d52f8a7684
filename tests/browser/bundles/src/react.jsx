import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { Echo } from './Echo.jsx'

createRoot(document.getElementById('app')).render(
  <StrictMode>
    <Echo />
  </StrictMode>,
)
